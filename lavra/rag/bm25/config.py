"""The settings of BM25."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lavra.base.errors import ConfigError


class Weighting(Enum):
    """The variant of BM25's formula; the order of the passages is the same, the scores differ by the factor k1 + 1."""

    LUCENE = "lucene"
    ROBERTSON = "robertson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25Config:
    """Settings of BM25 (Robertson and Zaragoza 2009, section 3), with Lucene's idf, which is never below 0.

    Attributes:
        k1: weight of further occurrences of a word; with 0 only its presence counts.
        b: penalty for long chunks, from 0 to 1.
        weighting: `robertson` multiplies by k1 + 1, `lucene` does not.
    """

    k1: float = 1.5
    b: float = 0.75
    weighting: Weighting = Weighting.LUCENE

    def __post_init__(self) -> None:
        if not 0 <= self.k1 < float("inf"):
            raise ConfigError(f"k1 is {self.k1}; it must be at least 0 and finite, and 1.5 is usual")
        if not 0 <= self.b <= 1:
            raise ConfigError(f"b is {self.b}; it must be from 0 to 1, and 0.75 is usual")
