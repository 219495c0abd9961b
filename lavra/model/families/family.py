"""The description of a family: all its differences from other families, as data and pure functions.

A family is a config map, a weight-name table, a preset of its paper's shape, its tokenizer, and other programs' names
for its parts.  No other module names a family (a test checks it).  All families share the core; a family that needed a
class of its own would show that the core lacks a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lavra.base.errors import ConfigError
from lavra.base.tasks import HeadKind
from lavra.model.config import ModelConfig
from lavra.model.families.fields import Fields
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.head_forms import HeadForm

if TYPE_CHECKING:  # words for mypy; importing them would load torch with every setting, the tokenizers with every model
    from lavra.model.weights import WeightTable
    from lavra.tokens.config import TokenizerKind


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
    """A `model_type` of Hugging Face: the functions that read and write it, and its parts in lavra.

    Attributes:
        model_type: its name in `config.json`.
        architectures: the class names whose checkpoints can be opened.
        read: fields and tensor names of a checkpoint -> configuration (names settle what `config.json` leaves open).
        write: configuration -> the fields of `config.json` that follow from it.
        architecture: configuration -> the class name to save under.
        table: configuration -> the weight-name table, names with `prefix`.
        prefix: prefix of the base model's tensors in the class; folders saved without a head lack it.
        headless: beginnings of the names that never carry the prefix.
        tied: name of the head's matrix -> name of the tensor it repeats when tied.
        copies: further names a checkpoint may repeat a tensor under.
        renames: endings of old checkpoints' names and today's.
        ignored: patterns of tensors that hold no weights (masks, position numbers).
        dropped: patterns of weights that lavra does not use; a warning lists them.
        preset: shape -> configuration of a fresh model.
        tokenizer: kind of the tokenizer trained for a fresh model, as in its paper.
        heads: the heads that `transformers` has a class for; without heads a family opens, but refuses a head by name.
        gguf: the family's form in llama.cpp; None if llama.cpp cannot run it.
        cached_heads: configuration -> key heads in `transformers`' cache, which PEFT's prefixes are stored in.
    """

    model_type: str
    architectures: tuple[str, ...]
    read: Callable[[Fields, frozenset[str]], ModelConfig]
    write: Callable[[ModelConfig], dict[str, Any]]
    architecture: Callable[[ModelConfig], str]
    table: Callable[[ModelConfig], WeightTable]
    prefix: str = ""
    headless: tuple[str, ...] = ()
    tied: tuple[str, str]
    copies: Mapping[str, str] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    preset: Callable[[Shape], ModelConfig]
    tokenizer: TokenizerKind
    heads: Mapping[HeadKind, HeadForm] = field(default_factory=dict)
    gguf: GgufForm | None = None
    cached_heads: Callable[[ModelConfig], int] = lambda config: config.num_kv_heads

    def head_kinds(self, architecture: str) -> list[HeadKind]:
        """The kinds of head that a class of `transformers` may be: none, a single kind, or two for a class of both."""
        return [kind for kind, form in self.heads.items() if form.architecture == architecture]
