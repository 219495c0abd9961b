"""The keyword options of `generate`, `stream`, `chat` and `n_best`: one flat table for all four.

They are the fields of `GenerateRequest` and `SamplingConfig` side by side, because users type
them so; an unknown option is an error that names the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from lavra.base.errors import ConfigError, nearest
from lavra.base.sampling import SAMPLING_NAMES
from lavra.base.types import Constraint, GenerateRequest, SamplingConfig, SamplingOptions

PromptText = str | tuple[int, ...]
_REQUEST = frozenset(field.name for field in fields(GenerateRequest)) - {"prompt", "sampling", "n"}


class Options(SamplingOptions, total=False):
    """The options of a completion; all optional, documented in `GenerateRequest` and `SamplingConfig`.

    Example:
        >>> options = lavra.Options(max_tokens=4, temperature=0.8, seed=1)
        >>> len(lavra.load("tiny").generate("Once upon", **options).tokens)
        4
    """

    max_tokens: int
    stop: str | Sequence[str]
    num_beams: int
    length_penalty: float
    truncate_prompt: bool
    given: str | None
    min_tokens: int
    logit_bias: Mapping[int, float]
    top_logprobs: int
    logprobs: bool
    constraint: Constraint | None
    adapter: str | None
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    include_stop: bool
    skip_special_tokens: bool


def make_request(prompt: PromptText, options: Mapping[str, Any], *, n: int = 1) -> GenerateRequest:
    """Make one request from a prompt and flat options.

    Raises:
        ConfigError: an option is unknown.
    """
    for name in options:
        if name not in _REQUEST and name not in SAMPLING_NAMES:
            raise ConfigError(f"unknown option {name!r}{nearest(name, [*SAMPLING_NAMES, *_REQUEST])}")
    sampling = SamplingConfig(**{name: value for name, value in options.items() if name in SAMPLING_NAMES})
    rest = {name: value for name, value in options.items() if name in _REQUEST}
    if "stop" in rest:
        rest["stop"] = (rest["stop"],) if isinstance(rest["stop"], str) else tuple(rest["stop"])
    if "stop_token_ids" in rest:
        rest["stop_token_ids"] = tuple(rest["stop_token_ids"])
    return GenerateRequest(prompt=prompt, sampling=sampling, n=n, **rest)
