"""The forms of answers of Ollama's endpoints, for the description at `/openapi.json` alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lavra.server.answers import Warned


class AnswerEnded(Warned):
    """The end of an answer; durations are nanoseconds, and missing where only the model was asked for."""

    model: str
    created_at: str
    done: bool
    done_reason: str


class ChatEnded(AnswerEnded):
    """The answer of `/api/chat` without a stream."""

    message: dict[str, Any]


class TextEnded(AnswerEnded):
    """The answer of `/api/generate` without a stream."""

    response: str


class EmbeddedList(Warned):
    """The answer of `/api/embed`."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class EmbeddedPrompt(Warned):
    """The answer of `/api/embeddings`."""

    embedding: list[float]


class LibraryEntry(BaseModel):
    """A served model."""

    model_config = ConfigDict(extra="allow")

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: dict[str, Any]


class Library(BaseModel):
    """The answer of `/api/tags` and `/api/ps`."""

    models: list[LibraryEntry]


class ModelCapabilities(Warned):
    """The answer of `/api/show`."""

    modelfile: str
    parameters: str
    template: str
    modified_at: str
    details: dict[str, Any]
    model_info: dict[str, Any]
    capabilities: list[str]


class ServerVersion(BaseModel):
    """The answer of `/api/version`."""

    version: str


class OllamaError(BaseModel):
    """Ollama's error."""

    error: str
