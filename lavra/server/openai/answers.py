"""OpenAI's answers, for the description at `/openapi.json` alone, as `lavra.server.answers`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lavra.server.answers import TokensRead, Warned


class TokenCounts(BaseModel):
    """The field `usage`: tokens read and written, and the source of the prompt's tokens."""

    model_config = ConfigDict(extra="allow")

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    truncated_tokens: int
    virtual_tokens: int
    response_cached: bool


class AnswerHead(Warned):
    """The first fields of every answer."""

    id: str
    object: str
    created: int
    model: str
    usage: TokenCounts


class AnswerMessage(BaseModel):
    """The message of the model."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | None
    refusal: str | None


class ChatAnswerChoice(BaseModel):
    """An answer of several."""

    index: int
    message: AnswerMessage
    logprobs: dict[str, Any] | None
    finish_reason: str


class ChatAnswer(AnswerHead):
    """The answer of `/v1/chat/completions`."""

    choices: list[ChatAnswerChoice]


class TextChoice(BaseModel):
    """A completion of several."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: str


class TextAnswer(AnswerHead):
    """The answer of `/v1/completions`."""

    choices: list[TextChoice]


class EmbeddedText(BaseModel):
    """A vector, as numbers or as base64 of float32."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingAnswer(Warned):
    """The answer of `/v1/embeddings`."""

    object: str
    model: str
    data: list[EmbeddedText]
    usage: TokensRead
