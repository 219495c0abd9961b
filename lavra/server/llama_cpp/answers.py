"""What llama.cpp's endpoints answer, for the description at `/openapi.json` alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lavra.server.answers import Warned


class NativeAnswer(Warned):
    """Of `/completion` and `/infill` without a stream."""

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
    """Of `/completion` and `/infill` with `response_fields`: those, and warnings where there are any."""

    model_config = ConfigDict(extra="allow")


class ServerProperties(BaseModel):
    """Of `/props`."""

    default_generation_settings: dict[str, Any]
    model_alias: str
    model_path: str
    chat_template: str
    bos_token: str
    eos_token: str
    build_info: str
    modalities: dict[str, bool]


class NativeErrorKind(BaseModel):
    """What went wrong."""

    code: int
    message: str
    type: str


class LlamaCppError(BaseModel):
    """llama.cpp's error object."""

    error: NativeErrorKind
