"""Find the place of a question's answer in a list of passages.

A passage has the answer where it covers at least half of the answer's place, or lies in it by at least half.  The first
such passage counts, by its rank and by the amount of text that a reader has read by then.

Ranks alone favour long chunks: five long ones hold more of the corpus than five short ones.  So ways of cutting are
compared by *gain by text*: 1 / log2(1 + t), where t is the text read up to the end of the answer's place, in units of
1,000 characters and at least 1; 0 behind 10,000.  It is nDCG with text in the place of rank.  Setups with the same way
of cutting are compared by nDCG@10 as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.retrieval import Chunk, Passage
from lavra.metrics.ranking import RankingScores, ranking_scores
from lavra.rag.questions.given import AnswerPlace, JudgedQuestion

DEPTH: Final = 50
"""The number of passages of a question that are searched for the answer."""
CUTOFFS: Final = (5, 10)
_UNIT, _MOST = 1000, 10_000  # characters
_FITS = "fits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The first passage with the answer.

    Attributes:
        rank: place of the passage in the list, from 1.
        characters: characters of the passages before it, and of the passage itself up to the end of the answer's place.
    """

    rank: int
    characters: int


def covers(chunk: Chunk, place: AnswerPlace) -> bool:
    """Whether a chunk covers a place, or a place the chunk, by at least half of the shorter."""
    if chunk.document != place.document:
        return False
    shared = min(chunk.end, place.end) - max(chunk.start, place.start)
    return shared > 0 and 2 * shared >= min(chunk.end - chunk.start, place.end - place.start)


def first_hit(passages: Sequence[Passage], question: JudgedQuestion) -> Hit | None:
    """Find the first passage that has any of the question's places; `None` where none does."""
    read = 0
    for rank, passage in enumerate(passages, start=1):
        chunk = passage.chunk
        ends = [min(place.end, chunk.end) for place in question.places if covers(chunk, place)]
        if ends:
            return Hit(rank=rank, characters=read + min(ends) - chunk.start)
        read += chunk.end - chunk.start
    return None


def gain_by_text(hit: Hit | None) -> float:
    """The gain of a result: 0 where the answer is not found, 1 where it stands in the first 1,000 characters."""
    if hit is None or hit.characters > _MOST:
        return 0.0
    return 1.0 / math.log2(1.0 + max(1.0, hit.characters / _UNIT))


def gain_by_rank(hit: Hit | None) -> float:
    """The nDCG@10 of a question with one fitting passage: from 0, not among the first ten, to 1, the first."""
    return 0.0 if hit is None or hit.rank > CUTOFFS[-1] else 1.0 / math.log2(1.0 + hit.rank)


def hit_scores(hits: Sequence[Hit | None]) -> RankingScores:
    """Compute recall, MRR and nDCG over questions with one fitting passage each."""
    ranked = {
        str(number): [*(f"other {rank}" for rank in range(1, hit.rank)), _FITS] if hit else []
        for number, hit in enumerate(hits)
    }
    return ranking_scores(ranked, {query: {_FITS: 1.0} for query in ranked}, cutoffs=CUTOFFS)
