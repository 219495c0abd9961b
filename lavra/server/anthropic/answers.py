"""Anthropic's answers, for the description at `/openapi.json` alone, as `lavra.server.answers`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lavra.server.answers import Warned


class MessageAnswer(Warned):
    """Of `/v1/messages`."""

    id: str
    type: str
    role: str
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None
    stop_sequence: str | None
    usage: dict[str, Any]


class CountedTokens(Warned):
    """Of `/v1/messages/count_tokens`."""

    input_tokens: int


class AnthropicError(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str


class AnthropicErrorAnswer(BaseModel):
    """Anthropic's error object."""

    model_config = ConfigDict(extra="allow")

    type: str
    error: AnthropicError
