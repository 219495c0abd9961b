"""What a family is: a config map, a weight-name table, and a preset of its paper's shape.  Nothing else.

The functions of a family are pure, and its core is the shared one; a family that needed a class of its own would
mean that the core lacks a knob.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavra.base.errors import ConfigError
from lavra.model.config import ModelConfig
from lavra.model.families.fields import Fields
from lavra.model.weights import WeightTable


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of a fresh model.

    Attributes:
        vocab_size: V.
        hidden_size: D.
        num_layers: L.
        num_heads: H; must divide D.
        max_positions: longest text.
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    max_positions: int

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.hidden_size % self.num_heads:
            raise ConfigError(
                f"hidden_size is {self.hidden_size} and num_heads {self.num_heads}; "
                "the first must be a multiple of the second"
            )

    @property
    def head_dim(self) -> int:
        """C."""
        return self.hidden_size // self.num_heads

    @property
    def gated_size(self) -> int:
        """F of a gated layer: 8/3 D, up to a multiple of 64, so that it has the parameters of 4 D ungated."""
        return -(-8 * self.hidden_size // (3 * 64)) * 64


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one `model_type` of Hugging Face is read and written.

    Attributes:
        model_type: its name in `config.json`.
        architectures: the class names whose checkpoints can be opened.
        read: fields and tensor names of a checkpoint -> configuration (names decide what config.json leaves open).
        write: configuration -> the fields of `config.json` that follow from it.
        architecture: configuration -> the class name to save under.
        table: configuration -> the weight-name table, names with `prefix`.
        prefix: what base-model tensors are called below; folders saved without a head lack it.
        headless: beginnings of the names that never carry the prefix.
        tied: name of the head's matrix -> name of the tensor it repeats when tied.
        copies: further names a checkpoint may repeat a tensor under.
        renames: endings of old checkpoints' names and today's.
        ignored: patterns of tensors that hold no weights (masks, position numbers).
        dropped: patterns of weights lavra has no use for; dropping them is warned about.
        preset: shape -> configuration of a fresh model.
    """

    model_type: str
    architectures: tuple[str, ...]
    read: Callable[[Fields, frozenset[str]], ModelConfig]
    write: Callable[[ModelConfig], dict[str, Any]]
    architecture: Callable[[ModelConfig], str]
    table: Callable[[ModelConfig], WeightTable]
    prefix: str
    headless: tuple[str, ...]
    tied: tuple[str, str]
    copies: Mapping[str, str] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    preset: Callable[[Shape], ModelConfig]
