"""Answers of the Responses API, for the description at `/openapi.json` alone, as `lavra.server.answers`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from lavra.server.answers import Warned


class ResponseAnswer(Warned):
    """A response, running or ended; its other fields are OpenAI's."""

    id: str
    object: str
    created_at: int
    status: str
    background: bool
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None


class DeletedResponse(BaseModel):
    """A response that is kept no more."""

    id: str
    object: str
    deleted: bool


class InputItems(BaseModel):
    """A page of the input items of a response."""

    object: str
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(Warned):
    """The answer of `/v1/responses/input_tokens`."""

    object: Literal["response.input_tokens"]
    input_tokens: int
