"""How an index is searched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lavra.base.errors import ConfigError


class Arms(Enum):
    """Which arms look for passages."""

    WORDS = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"


class Fusion(Enum):
    """How the passages of two arms become one list."""

    RANKS = "ranks"  # reciprocal rank fusion
    WEIGHTS = "weights"  # a weighted mean of scaled scores


class Expansion(Enum):
    """How much of a passage's document is shown with it."""

    NONE = "none"
    NEIGHBOURS = "neighbours"
    SECTION = "section"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalConfig:
    """The arms, their fusion, and the stages behind it.

    Attributes:
        arms: which look; `None` is both where the index has vectors, else words alone.
        fusion: of two arms.  Ranks lose much where one arm is blind (FaQuAD, nDCG@10: words 91.1, ranks 72.7).
        dense_weight: of meaning beside words, from 0 to 1, for `WEIGHTS`; an arm of weight 0 is not asked.  The default
            is better than either arm on the four sets of `benchmarks/retrieval_quality.py`, English and Portuguese;
            `learn_weights` finds the best one where there are questions with known passages.
        rank_constant: of reciprocal rank fusion; the larger, the less the first ranks stand out.
        depth: passages that each arm gives to a fusion.
        rerank_depth: passages that a reranker reads; 0 leaves it off.
        rerank_weight: of the reranker's score beside the order before it, from 0 to 1.
        relevance: of a passage beside its difference from those before it, from 0 to 1; 1 leaves differences out.
        expansion: how much of its document each passage is widened to.
        neighbours: chunks on each side, for `NEIGHBOURS`.
        most_characters: that a passage is widened to.
    """

    arms: Arms | None = None
    fusion: Fusion = Fusion.WEIGHTS
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
