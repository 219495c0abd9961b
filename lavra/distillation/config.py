"""Settings of a student's learning: the imitated parts of its teacher, and their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from lavra.base.errors import ConfigError, nearest

HiddenDistance = Literal["mse", "cosine"]
Compare = Literal["maps", "relations"]


@dataclass(frozen=True, kw_only=True)
class HiddenConfig:
    """The settings of imitating hidden states after blocks.

    Attributes:
        weight: the mean distance is added this many times to the mean loss.
        distance: squared difference of each channel (Jiao et al. 2020, TinyBERT, arXiv:1909.10351), or one minus the
            cosine of each token (Sanh et al. 2019), in which no channel of large numbers dominates.
        layers: the teacher's layer for each of the student's, from 0; by default the i-th of n imitates the
            teacher's layer after as large a share of its depth.
        decoder_layers: the teacher's layers for the decoder of an encoder-decoder.
    """

    weight: float = 1.0
    distance: HiddenDistance = "mse"
    layers: tuple[int, ...] = ()
    decoder_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _positive("hidden.weight", self.weight)
        _one_of("hidden.distance", self.distance, get_args(HiddenDistance))


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """The settings of imitating self-attention.

    Attributes:
        weight: the mean divergence is added this many times to the mean loss.
        compare: `maps`: the attention weights of each head (Wang et al. 2020, MiniLM, arXiv:2002.10957), for as many
            heads as the teacher's; `relations`: the likeness of queries, keys and values among themselves (MiniLMv2,
            arXiv:2012.15828), for any number of heads.
        layers: `last` block of each stack, or `all`, matched as hidden states are.
        relation_heads: heads that relations are cut into; 0 is the student's number of key heads.
    """

    weight: float = 1.0
    compare: Compare = "maps"
    layers: Literal["last", "all"] = "last"
    relation_heads: int = 0

    def __post_init__(self) -> None:
        _positive("attention.weight", self.weight)
        _one_of("attention.compare", self.compare, get_args(Compare))
        _one_of("attention.layers", self.layers, ("last", "all"))
        if self.relation_heads < 0:
            raise ConfigError(f"attention.relation_heads is {self.relation_heads}; give 1 or more, or 0 for the usual")


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """The settings of a student's learning; parts that are `None` are left out.

    Attributes:
        temperature: T of both distributions; a value over 1 shows more of the teacher's probabilities of wrong answers.
        share: share of the teacher's logits in the loss; the labels have the rest.
        hidden: imitate hidden states.
        attention: imitate attention.
    """

    temperature: float = 2.0
    share: float = 0.5
    hidden: HiddenConfig | None = None
    attention: AttentionConfig | None = None

    def __post_init__(self) -> None:
        _positive("temperature", self.temperature)
        if not 0.0 <= self.share <= 1.0:
            raise ConfigError(f"share is {self.share}; it is a share: give a number from 0 to 1")
        if self.share == 0.0 and self.hidden is None and self.attention is None:
            raise ConfigError("share is 0 and neither hidden states nor attention are imitated; that is plain training")


def _positive(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise ConfigError(f"{name} is {value}; give a number over 0")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}{nearest(value, known)}")
