"""The forms of answers of Anthropic's endpoints, for the description at `/openapi.json` alone."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from lavra.server.answers import Warned


class TokenUsage(BaseModel):
    """Tokens read and written."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int


class MessageAnswer(Warned):
    """The answer of `/v1/messages`."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    usage: TokenUsage


class TokenCount(Warned):
    """The answer of `/v1/messages/count_tokens`."""

    input_tokens: int


class ErrorKind(BaseModel):
    """An error, with Anthropic's names."""

    type: str
    message: str


class AnthropicError(BaseModel):
    """Anthropic's error object."""

    type: Literal["error"]
    error: ErrorKind
