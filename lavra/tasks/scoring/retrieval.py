"""Search for the passage of each query among all passages: recall and reciprocal rank of held-out pairs, beside BM25's.

Each pair is a query and the one passage it is to find; every different passage of the collection is a candidate.  The
right passages of other pairs of the same query are no candidates then, for no rule orders two right passages.
A passage that scores the same as others stands at each of their ranks equally often: a figure is the average of a
fair draw among equals, so a model that cannot tell passages apart finds one in as many as there are.
(Counting only better-scored passages would call such a model perfect.)

Anything that scores passages can be measured (`lavra.adapt.passage_scores`): a sentence encoder, BM25, or either of
them with its best passages put in order by a cross-encoder (`RerankedScores`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.adapt.hard_negatives import positives_of
from lavra.adapt.passage_scores import (
    Bm25Scores,
    Embed,
    PassageScores,
    VectorScores,
    best_places,
    places_of,
    scored_queries,
)
from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.base.predictions import Ranked
from lavra.data.labelled.samples import PairSample
from lavra.metrics.intervals import Interval, difference_interval
from lavra.metrics.ranking import RankingScores

Rerank = Callable[[str, Sequence[str]], Sequence[Ranked]]
"""(query, texts) -> the place of each text among them and its score, in any order."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The rank of the right passage of each of Q pairs.

    Attributes:
        better: (Q,) candidates that score higher.
        tied: (Q,) other candidates that score the same.
        num_candidates: (Q,) the right passage included.
    """

    better: Int64s
    tied: Int64s
    num_candidates: Int64s

    def recall(self, cutoff: int) -> Float64s:
        """(Q,) chance that the right passage is among the first `cutoff`."""
        return np.clip((cutoff - self.better) / (self.tied + 1), 0.0, 1.0)

    def reciprocal(self) -> Float64s:
        """(Q,) mean of 1 / rank over the ranks the right passage may have."""
        harmonic = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, int(self.num_candidates.max()) + 1))))
        mean: Float64s = (harmonic[self.better + self.tied + 1] - harmonic[self.better]) / (self.tied + 1)
        return mean

    def scores(self, cutoffs: Sequence[int] = (1, 5, 10)) -> RankingScores:
        """`recall@k` at each cutoff and `mrr`, of each pair.

        A cutoff that takes all candidates of some pair is not a test of that pair; `trivial` finds such cutoffs.

        Raises:
            ConfigError: a cutoff is below 1.
        """
        if not cutoffs or min(cutoffs) < 1:
            raise ConfigError(f"cutoffs are {tuple(cutoffs)}; each must be at least 1, and there must be one")
        recall = {f"recall@{cutoff}": self.recall(cutoff) for cutoff in cutoffs}
        return RankingScores(
            by_query={**recall, "mrr": self.reciprocal()},
            num_queries=len(self.better),
            num_unanswerable=0,
            num_unjudged=int((self.num_candidates - 1).sum()),
        )

    def trivial(self, cutoffs: Sequence[int]) -> tuple[int, ...]:
        """The cutoffs at which some pair is found with any scores, for it has no more candidates than that."""
        return tuple(cutoff for cutoff in cutoffs if cutoff >= int(self.num_candidates.min()))


def rank_pairs(pairs: Sequence[PairSample], searched: PassageScores) -> Ranks:
    """The rank of each pair's passage for its query.

    Args:
        pairs: anchors are queries, positives the passages to find; negatives count as any other passage.
        searched: the collection, every positive in it.

    Raises:
        InputError: there are no pairs, or a positive is not in the collection.
    """
    if not pairs:
        raise InputError("there are no pairs to be found; give at least one")
    at, right = places_of(searched.passages), positives_of(pairs)
    missing = next((pair for pair in pairs if pair.positive not in at), None)
    if missing is not None:
        raise InputError(f"{missing.place}: {missing.positive[:60]!r} is not among the {len(at)} passages; add it")
    found = np.zeros((len(pairs), 3), dtype=np.int64)
    for number, row in scored_queries(searched, [pair.anchor for pair in pairs]):
        pair = pairs[number]
        others = [at[text] for text in right[pair.anchor] if text != pair.positive]
        own, rest = row[at[pair.positive]], np.delete(row, [at[pair.positive], *others])
        found[number] = (rest > own).sum(), (rest == own).sum(), len(rest) + 1
    return Ranks(better=found[:, 0], tied=found[:, 1], num_candidates=found[:, 2])


@dataclass(frozen=True, kw_only=True)
class RetrievalComparison:
    """A sentence encoder beside BM25 on the same pairs and passages.

    Attributes:
        ours: scores of the encoder.
        bm25: scores of BM25.
        num_passages: different passages searched.
        trivial: cutoffs at which recall is 1 for some pair with any scores, for there are too few passages.
        ahead: lead of the encoder, by score: the interval of the difference over pairs drawn again.
    """

    ours: RankingScores
    bm25: RankingScores
    num_passages: int
    trivial: tuple[int, ...]
    ahead: Mapping[str, Interval]

    @property
    def lost(self) -> tuple[str, ...]:
        """The scores BM25 has the better of."""
        ours, theirs = self.ours.to_values(), self.bm25.to_values()
        return tuple(name for name, value in ours.items() if value < theirs[name])


def compare_with_bm25(
    pairs: Sequence[PairSample],
    embed: Embed,
    *,
    passages: Sequence[str] = (),
    cutoffs: Sequence[int] = (1, 5, 10),
    size: int | None = None,
) -> RetrievalComparison:
    """Recall and reciprocal rank of an encoder and of BM25, on pairs neither has seen.

    Args:
        pairs: held-out queries and their passages.
        embed: makes the vectors, such as `lavra.load(…).embed`.
        passages: further ones to search among, beside all positives of the pairs.
        cutoffs: ranks to look down to.
        size: use only the first `size` numbers of each vector.

    Raises:
        InputError: as `rank_pairs`.
        ConfigError: as `Ranks.scores`.
    """
    collection = [*(pair.positive for pair in pairs), *passages]
    if not collection:
        raise InputError("there are no pairs to be found; give at least one")
    words, vectors = Bm25Scores(collection), VectorScores(embed, collection, size=size)
    ranks, theirs = rank_pairs(pairs, vectors), rank_pairs(pairs, words)
    ours, bm25 = ranks.scores(cutoffs), theirs.scores(cutoffs)
    return RetrievalComparison(
        ours=ours,
        bm25=bm25,
        num_passages=len(words.passages),
        trivial=ranks.trivial(cutoffs),
        ahead={name: difference_interval(values, bm25.by_query[name]) for name, values in ours.by_query.items()},
    )


class RerankedScores:
    """A cross-encoder's order of the best passages of a first search, the others behind them (Nogueira & Cho 2019).

    Args:
        first: scores all passages.
        rerank: scores some, such as `partial(lavra.tasks.predicting.classify.rerank, model)`.
        depth: number of the best passages to rerank; among equal ones the earlier passages are taken.
    """

    def __init__(self, first: PassageScores, rerank: Rerank, *, depth: int = 100) -> None:
        if depth < 1:
            raise ConfigError(f"depth is {depth}; it must be at least 1")
        self._first, self._rerank, self._depth = first, rerank, depth

    @property
    def passages(self) -> tuple[str, ...]:
        """The passages of the first search."""
        return self._first.passages

    def scores(self, queries: Sequence[str]) -> Float64s:
        """(Q, P): the first search's, at most 0, and above them the cross-encoder's, at least 1."""
        rows = self._first.scores(queries).astype(np.float64)
        for query, row in zip(queries, rows, strict=True):
            places = best_places(row, self._depth)
            ranked = self._rerank(query, [self.passages[place] for place in places])
            if sorted(one.index for one in ranked) != list(range(len(places))):
                raise InputError(f"{len(places)} texts were to be reranked and {len(ranked)} came back; rank each once")
            lowest = min(one.score for one in ranked)
            row -= row.max()
            row[places[[one.index for one in ranked]]] = [1 + one.score - lowest for one in ranked]
        return rows
