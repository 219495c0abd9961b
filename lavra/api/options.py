"""The keyword options of `generate`, `stream`, `chat` and `n_best`: one flat table for all four.

They are the fields of `GenerateRequest` and `SamplingConfig` side by side, because that is how a user types
them; an unknown one is an error that names the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypedDict

from lavra.base.errors import ConfigError, nearest
from lavra.base.types import GenerateRequest, SamplingConfig

PromptText = str | tuple[int, ...]
_SAMPLING = frozenset(field.name for field in fields(SamplingConfig))
_REQUEST = frozenset(field.name for field in fields(GenerateRequest)) - {"prompt", "sampling", "n"}


class Options(TypedDict, total=False):
    """How to complete a prompt; all optional, documented in `GenerateRequest` and `SamplingConfig`."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    stop: str | Sequence[str]
    num_beams: int
    length_penalty: float
    truncate_prompt: bool
    given: str | None


def make_request(prompt: PromptText, options: Mapping[str, Any], *, n: int = 1) -> GenerateRequest:
    """One request from a prompt and flat options.

    Raises:
        ConfigError: an option is unknown.
    """
    for name in options:
        if name not in _SAMPLING | _REQUEST:
            raise ConfigError(f"unknown option {name!r}{nearest(name, _SAMPLING | _REQUEST)}")
    sampling = SamplingConfig(**{name: value for name, value in options.items() if name in _SAMPLING})
    rest = {name: value for name, value in options.items() if name in _REQUEST}
    if "stop" in rest:
        rest["stop"] = (rest["stop"],) if isinstance(rest["stop"], str) else tuple(rest["stop"])
    return GenerateRequest(prompt=prompt, sampling=sampling, n=n, **rest)
