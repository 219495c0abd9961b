"""What an adapter is: one frozen dataclass a method, checked when it is made.

Names of fields are those of the papers; `peft_config` maps them to and from PEFT's `adapter_config.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from lavra.base.errors import ConfigError
from lavra.model.config import Activation
from lavra.tokens.tokenizer import Tokenizer

Patterns = str | tuple[str, ...]
"""Endings of module names (`("query", "value")`), one regular expression of a whole name, or `ALL_LINEAR`."""

ALL_LINEAR = "all-linear"
"""Every linear layer of every block."""


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank updates of linear layers (Hu et al. 2021, arXiv:2106.09685).

    Attributes:
        rank: R, rows of A.
        alpha: the update is multiplied by alpha / R.
        dropout: share of the update's inputs dropped in training.
        targets: which linear layers.
        exclude: endings of names of layers that are left alone all the same.
        rslora: multiply by alpha / sqrt(R) instead (Kalajdzievski 2023, arXiv:2312.03732).
        dora: learn the length of each row of the weight by itself (Liu et al. 2024, arXiv:2402.09353).
        rank_pattern: ranks of some layers, by the ending of their name or a regular expression of it.
        alpha_pattern: alphas of some layers, likewise.
        modules_to_save: modules trained whole and saved with the adapter, such as a task's head.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: Patterns = ("query", "value")
    exclude: tuple[str, ...] = ()
    rslora: bool = False
    dora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, rank in {"rank": self.rank, **self.rank_pattern}.items():
            if rank < 1:
                raise ConfigError(f"{name} is {rank}; a rank is at least 1")
        for name, alpha in {"alpha": self.alpha, **self.alpha_pattern}.items():
            if not alpha > 0:
                raise ConfigError(f"{name} is {alpha}; an alpha is over 0")
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            _check_expression("a pattern", pattern)
        _check_share("dropout", self.dropout)
        _check_patterns("targets", self.targets)

    def rank_of(self, names: Iterable[str]) -> int:
        """The rank of a layer that answers to these names."""
        key = pattern_of(self.rank_pattern, names)
        return self.rank if key is None else self.rank_pattern[key]

    def scale_of(self, names: Iterable[str], rank: int) -> float:
        """What the update of a layer of this rank is multiplied by."""
        key = pattern_of(self.alpha_pattern, names)
        alpha = self.alpha if key is None else self.alpha_pattern[key]
        return alpha / (rank**0.5 if self.rslora else rank)


@dataclass(frozen=True, kw_only=True)
class IA3Config:
    """Learned factors of inner activations (Liu et al. 2022, arXiv:2205.05638).

    Attributes:
        targets: which linear layers.
        feed_forward: which of them have their inputs multiplied, the others their outputs.
        modules_to_save: modules trained whole and saved with the adapter.
    """

    targets: Patterns = ("key", "value", "down")
    feed_forward: Patterns = ("down",)
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_patterns("targets", self.targets)


class After(Enum):
    """The sub-layer whose output a bottleneck reads."""

    ATTENTION = "attention"
    FEED_FORWARD = "feed_forward"


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """Small feed-forward layers behind a block's sub-layers: y + up(activation(down(y))).

    Behind both it is the adapter of Houlsby et al. 2019 (arXiv:1902.00751), behind the feed-forward layer alone that of
    Pfeiffer et al. 2020 (arXiv:2005.00247).

    Attributes:
        size: channels of the bottleneck.
        after: behind which sub-layers; in a decoder that reads a source, cross attention counts as attention.
        activation: its non-linearity.
        modules_to_save: modules trained whole and saved with the adapter.
    """

    size: int = 64
    after: tuple[After, ...] = (After.ATTENTION, After.FEED_FORWARD)
    activation: Activation = Activation.GELU
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; a bottleneck has at least 1 channel")
        if not self.after or len(set(self.after)) != len(self.after):
            raise ConfigError(f"after is {[one.value for one in self.after]}; name at least one sub-layer, each once")

    @classmethod
    def houlsby(cls, size: int = 64) -> BottleneckConfig:
        """Behind attention and the feed-forward layer."""
        return cls(size=size)

    @classmethod
    def pfeiffer(cls, size: int = 64) -> BottleneckConfig:
        """Behind the feed-forward layer only."""
        return cls(size=size, after=(After.FEED_FORWARD,))


class PromptInit(Enum):
    """How the rows of a fresh soft prompt are made."""

    VOCABULARY = "vocabulary"  # embeddings of tokens drawn at random (Lester et al. 2021, section 3.2)
    RANDOM = "random"  # N(0, 1), as PEFT's RANDOM


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Prompt tuning: learned embeddings in front of a text (Lester et al. 2021, arXiv:2104.08691).

    Attributes:
        num_tokens: virtual tokens.
        init: where they start, unless `init_ids` says it.
        init_ids: tokens whose embeddings they start from, repeated until there are enough.
        modules_to_save: modules trained whole and saved with the prompt.
    """

    num_tokens: int = 20
    init: PromptInit = PromptInit.VOCABULARY
    init_ids: tuple[int, ...] = ()
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_tokens(self.num_tokens)
        if len(self.init_ids) > self.num_tokens:
            raise ConfigError(
                f"the text to start from has {len(self.init_ids)} tokens and num_tokens is {self.num_tokens}; "
                f"set num_tokens to {len(self.init_ids)}, or shorten the text"
            )

    @classmethod
    def from_text(cls, tokenizer: Tokenizer, text: str, num_tokens: int | None = None) -> PromptConfig:
        """A prompt that starts as this text; as long as it, unless `num_tokens` says otherwise."""
        ids = tuple(tokenizer.encode(text))
        if not ids:
            raise ConfigError(f"the text to start from, {text!r}, has no tokens; write a few words")
        return cls(num_tokens=num_tokens or len(ids), init_ids=ids)


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """Prefix tuning: learned keys and values in every layer (Li & Liang 2021, arXiv:2101.00190).

    Attributes:
        num_tokens: virtual tokens.
        init_std: their keys and values are drawn from N(0, init_std).
        modules_to_save: modules trained whole and saved with the prefix.
    """

    num_tokens: int = 20
    init_std: float = 0.02
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_tokens(self.num_tokens)
        if not self.init_std >= 0:
            raise ConfigError(f"init_std is {self.init_std}; give 0 or more")


AdapterConfig = LoraConfig | IA3Config | BottleneckConfig | PromptConfig | PrefixConfig
"""Any of the methods."""


def pattern_of(patterns: Iterable[str], names: Iterable[str]) -> str | None:
    """The first pattern that is the ending of one of the names, or a regular expression of it, as PEFT reads them."""
    known = list(names)
    for pattern in patterns:
        if any(re.match(rf"(.*\.)?({pattern})$", name) for name in known):
            return pattern
    return None


def _check_patterns(name: str, patterns: Patterns) -> None:
    if not patterns or any(not one for one in patterns):
        raise ConfigError(f'{name} is {patterns!r}; name at least one layer, or "{ALL_LINEAR}"')
    if isinstance(patterns, str):
        _check_expression(name, patterns)


def _check_expression(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{name} is {pattern!r}, which is no regular expression ({error}); "
            "to name layers by their endings give a tuple"
        ) from None


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise ConfigError(f"{name} is {value}; it must be in [0, 1)")


def _check_tokens(num_tokens: int) -> None:
    if num_tokens < 1:
        raise ConfigError(f"num_tokens is {num_tokens}; give at least 1 virtual token")
