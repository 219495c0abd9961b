"""What a protocol is to the server: its endpoints, and how it tells of errors.

OpenAI's error object is the form in which every refusal begins (`lavra.server.errors`); another protocol rewrites it
for the paths that are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from lavra.server.edge import Edge
from lavra.server.errors import ErrorShape


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One protocol.

    Attributes:
        routers: make its endpoints over a server.
        paths: beginnings of the paths whose errors it writes; empty where OpenAI's error object is right.
        any_type: bodies under these paths are JSON whatever their `Content-Type` says, as `curl -d` sends them; a web
            page of another origin must say so all the same.
        error_answer: its own error object, for the description; that of OpenAI unless given.
        write_error: from the status and OpenAI's error object to its own.
    """

    routers: tuple[Callable[[Edge], APIRouter], ...]
    paths: tuple[str, ...] = ()
    any_type: bool = False
    write_error: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None
    error_answer: type[BaseModel] | None = None


def error_shape(protocols: Sequence[Protocol]) -> ErrorShape:
    """Writes the error of a path (path, status, OpenAI's object) as the protocol of the path does."""

    def shape(path: str, status: int, error: dict[str, Any]) -> dict[str, Any]:
        for protocol in protocols:
            if protocol.write_error is not None and path.startswith(protocol.paths):
                return protocol.write_error(status, error)
        return error

    return shape
