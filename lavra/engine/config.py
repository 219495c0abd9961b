"""Settings of an engine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from lavra.base.errors import ConfigError

CacheType = Literal["model", "bf16", "int8"]
"""The type of stored keys and values in a runner; `model` is the type of the weights."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Settings of sharing the machine between requests.

    Attributes:
        max_running: most sequences computed together.
        max_batch_tokens: most tokens read in a pass; longer prompts are read in parts, between other requests' tokens.
        max_queue: most requests that wait; the next request is refused.
        prefix_cache: keep the blocks of finished requests for prompts that begin the same.
        lookup_tokens: tokens guessed a step, by finding the last tokens earlier in the text; 0 is off.
        lookup_ngram: tokens that must match for a guess.
    """

    max_running: int = 32
    max_batch_tokens: int = 512
    max_queue: int = 256
    prefix_cache: bool = True
    lookup_tokens: int = 0
    lookup_ngram: int = 3

    def __post_init__(self) -> None:
        least = {"lookup_tokens": 0}
        for field in fields(EngineConfig):
            value = getattr(self, field.name)
            if value < least.get(field.name, 1) and not isinstance(value, bool):
                bound = least.get(field.name, 1)
                raise ConfigError(f"{field.name} is {value}, under {bound}; give {bound} or more")
        if self.max_batch_tokens < self.max_running:
            raise ConfigError(
                f"max_batch_tokens is {self.max_batch_tokens}, under max_running {self.max_running}, so some running "
                f"requests would never write; give {self.max_running} or more"
            )
