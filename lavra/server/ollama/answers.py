"""Ollama's answers, for the description at `/openapi.json` alone, as `lavra.server.answers`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OllamaAnswer(BaseModel):
    """An object of Ollama's; its fields are in https://docs.ollama.com/api."""

    model_config = ConfigDict(extra="allow")


class OllamaText(OllamaAnswer):
    """Of `/api/chat` and `/api/generate`, and each line of their streams."""

    model: str
    created_at: str
    done: bool


class OllamaErrorAnswer(BaseModel):
    """Ollama's error: one sentence."""

    error: str
