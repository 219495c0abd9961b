"""The settings of a serving engine's key-value cache. No torch: the command line reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from lavra.base.errors import ConfigError
from lavra.engine.config import CacheType


@dataclass(frozen=True, kw_only=True)
class ServingCacheConfig:
    """The key-value cache of an engine.

    Attributes:
        cache_tokens: tokens it holds, of all requests together; by default 16 full contexts, within an eighth of the
            memory that is free (rows that write keep copies, which may take as much again).
        cache_type: type of the stored keys and values: `model` (the type of the weights), `bf16`, `int8`.
        block_size: tokens that are shared or freed together.
    """

    cache_tokens: int | None = None
    cache_type: CacheType = "model"
    block_size: int = 16

    def __post_init__(self) -> None:
        if self.block_size < 1 or self.block_size > 256:
            raise ConfigError(f"block_size is {self.block_size}; give 1 to 256")
        if self.cache_type not in get_args(CacheType):
            raise ConfigError(f"cache_type={self.cache_type!r} is unknown; known: {', '.join(get_args(CacheType))}")
        if self.cache_tokens is not None and self.cache_tokens < self.block_size:
            raise ConfigError(f"cache_tokens is {self.cache_tokens}, under one block; give {self.block_size} or more")
