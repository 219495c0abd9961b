"""The shared parts of the configurations of adapters: base classes, patterns that name layers, and checks.

Each method has its configuration in its file in `methods/`.  Names of fields are those of the papers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from lavra.base.errors import ConfigError
from lavra.tokens.tokenizer import Tokenizer

Patterns = str | tuple[str, ...]
"""Endings of module names (`("query", "value")`), one regular expression of a whole name, or `ALL_LINEAR`."""

ALL_LINEAR = "all-linear"
"""Every linear layer of every block."""


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """The settings that all methods share.

    Attributes:
        modules_to_save: modules trained whole and saved with the adapter, such as a task's head.
    """

    modules_to_save: tuple[str, ...] = ()

    def with_tokenizer(self, tokenizer: Tokenizer) -> Self:
        """The same settings, with texts in them replaced by their tokens."""
        return self


@dataclass(frozen=True, kw_only=True)
class VirtualTokensConfig(AdapterConfig):
    """Settings of a method that puts virtual tokens in front of every text.

    Attributes:
        num_tokens: number of virtual tokens.
    """

    in_target: ClassVar[bool] = False
    """Whether an encoder-decoder has them in front of the text it writes, instead of the text it reads."""

    num_tokens: int = 20

    def __post_init__(self) -> None:
        if self.num_tokens < 1:
            raise ConfigError(f"num_tokens is {self.num_tokens}; give at least 1 virtual token")


def pattern_of(patterns: Iterable[str], names: Iterable[str]) -> str | None:
    """The first pattern that ends one of the names, or matches it as a regular expression, as in PEFT."""
    known = list(names)
    for pattern in patterns:
        if any(re.match(rf"(.*\.)?({pattern})$", name) for name in known):
            return pattern
    return None


def check_adapter_name(name: str) -> None:
    """Refuse a name that no adapter can have; raises ConfigError."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(f"{name!r} cannot name an adapter; use letters, digits, _ and -")


def check_patterns(name: str, patterns: Patterns) -> None:
    """Refuse patterns that match no name; raises ConfigError."""
    if not patterns or any(not one for one in patterns):
        raise ConfigError(f'{name} is {patterns!r}; name at least one layer, or "{ALL_LINEAR}"')
    if isinstance(patterns, str):
        check_expression(name, patterns)


def check_expression(name: str, pattern: str) -> None:
    """Refuse a text that is not a regular expression; raises ConfigError."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{name} is {pattern!r}, which is not a regular expression ({error}); "
            "to name layers by their endings give a tuple"
        ) from None
