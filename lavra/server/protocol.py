"""The parts of a protocol that the server needs: its endpoints, and the form of its errors.

Every refusal begins as OpenAI's error object (`lavra.server.errors`); another protocol rewrites it for its own paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from lavra.server.errors import ErrorShape
from lavra.server.server_state import ServerState


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A protocol.

    Attributes:
        routers: functions that make its endpoints for a server.
        paths: beginnings of the paths whose errors it writes; empty where OpenAI's error object is right.
        any_type: bodies under these paths are JSON whatever their `Content-Type` says, as `curl -d` sends them; a web
            page of another origin must still give the type.
        error_answer: class of its error object, for the description; OpenAI's by default.
        write_error: turns the status and OpenAI's error object into its own.
    """

    routers: tuple[Callable[[ServerState], APIRouter], ...]
    paths: tuple[str, ...] = ()
    any_type: bool = False
    write_error: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None
    error_answer: type[BaseModel] | None = None


def error_shape(protocols: Sequence[Protocol]) -> ErrorShape:
    """The function that writes the error of a path (path, status, OpenAI's object) in the form of its protocol."""

    def shape(path: str, status: int, error: dict[str, Any]) -> dict[str, Any]:
        for protocol in protocols:
            if protocol.write_error is not None and path.startswith(protocol.paths):
                return protocol.write_error(status, error)
        return error

    return shape
