"""The settings of a search in an index."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lavra.base.errors import ConfigError


class Arms(Enum):
    """The arms that look for passages."""

    WORDS = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"


class Fusion(Enum):
    """The way two arms' passages become one list."""

    RANKS = "ranks"  # reciprocal rank fusion
    WEIGHTS = "weights"  # a weighted mean of scaled scores


class Expansion(Enum):
    """The extent of a document that is shown with a passage."""

    NONE = "none"
    NEIGHBOURS = "neighbours"
    SECTION = "section"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalConfig:
    """Settings of the arms, their fusion, and the stages behind it.

    Attributes:
        arms: ways of searching; `None` is both where the index has vectors, else words alone.
        fusion: way of joining two arms; ranks lose much where one arm is blind (FaQuAD, nDCG@10: words 91.1, ranks
            72.7).
        dense_weight: weight of meaning against words, from 0 to 1, for `WEIGHTS`; an arm of weight 0 is not used.
            The default is better than either arm on the four sets of `benchmarks/retrieval_quality.py`, English and
            Portuguese; `learn_weights` finds the best weight where there are questions with known passages.
        rank_constant: constant of reciprocal rank fusion; the larger, the less the first ranks stand out.
        depth: number of passages that each arm gives to a fusion.
        rerank_depth: number of passages that a reranker reads; 0 turns it off.
        rerank_weight: weight of the reranker's score against the order before it, from 0 to 1.
        relevance: weight of a passage's fit against its difference from those before it, from 0 to 1; 1 ignores
            differences.
        expansion: extent of the document to which each passage is widened.
        neighbours: number of chunks on each side, for `NEIGHBOURS`.
        most_characters: most characters of a widened passage.
    """

    arms: Arms | None = None
    fusion: Fusion = Fusion.WEIGHTS
    # Equal voices lose to words alone where the encoder is weak: nDCG@10 on FaQuAD 72.7 against 91.1 (docs/log.md).
    dense_weight: float = 0.25
    rank_constant: int = 60
    depth: int = 100
    rerank_depth: int = 0
    rerank_weight: float = 1.0
    relevance: float = 1.0
    expansion: Expansion = Expansion.NONE
    neighbours: int = 1
    most_characters: int = 4000

    def __post_init__(self) -> None:
        for name in ("dense_weight", "rerank_weight", "relevance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        for name, least in (
            ("rank_constant", 1),
            ("depth", 1),
            ("rerank_depth", 0),
            ("neighbours", 1),
            ("most_characters", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
