"""The forms of answers of llama.cpp's endpoints, for the description at `/openapi.json` alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lavra.server.answers import Warned


class NativeAnswer(Warned):
    """The answer of `/completion` and `/infill` without a stream."""

    index: int
    content: str
    tokens: list[int]
    stop: bool
    stop_type: str
    stopping_word: str
    model: str
    prompt: str
    generation_settings: dict[str, Any]
    has_new_line: bool
    tokens_predicted: int
    tokens_evaluated: int
    tokens_cached: int
    truncated: bool
    timings: dict[str, float]


class ChosenFields(BaseModel):
    """An answer of `/completion` or `/infill` with `response_fields`: those fields, and warnings if any."""

    model_config = ConfigDict(extra="allow")


class ServerProperties(BaseModel):
    """The answer of `/props`."""

    default_generation_settings: dict[str, Any]
    model_alias: str
    model_path: str
    chat_template: str
    bos_token: str
    eos_token: str
    build_info: str
    modalities: dict[str, bool]


class NativeErrorKind(BaseModel):
    """An error."""

    code: int
    message: str
    type: str


class LlamaCppError(BaseModel):
    """llama.cpp's error object."""

    error: NativeErrorKind
