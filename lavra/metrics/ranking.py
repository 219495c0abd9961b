"""Scores of rankings: the share and the rank of fitting passages near the top.

Judgements are graded: 0 does not fit, more fits better.  Reciprocal rank, average precision and recall take every
grade above 0 as fitting; nDCG (Järvelin and Kekäläinen 2002) weighs grades as they are and discounts by log2(rank + 1),
as trec_eval does.  A passage without a judgement counts as grade 0.  A query for which nothing fits has no
score; such queries are counted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.errors import ConfigError, InputError
from lavra.metrics.intervals import LEVEL, RESAMPLES, Interval, score_intervals


@dataclass(frozen=True, kw_only=True)
class RankingScores:
    """Scores of ranked queries.

    Attributes:
        by_query: name of a score to (Q,) its value for each query, in order, those left out missing.
        num_queries: queries that have a score.
        num_unanswerable: queries left out because nothing fits them.
        num_unjudged: ranked passages without a judgement, over all queries with a score.
    """

    by_query: Mapping[str, Float64s]
    num_queries: int
    num_unanswerable: int
    num_unjudged: int

    def to_values(self) -> dict[str, float]:
        """The mean of each score over the queries."""
        return {name: float(values.mean()) for name, values in self.by_query.items()}


def ranking_scores(
    ranked: Mapping[str, Sequence[str]],
    judgements: Mapping[str, Mapping[str, float]],
    *,
    cutoffs: Sequence[int] = (1, 5, 10, 100),
) -> RankingScores:
    """Recall, MRR and nDCG at each cutoff, and MAP over the whole lists.

    Args:
        ranked: the passages found for each query, best first.
        judgements: the grade of each judged passage, for each query.
        cutoffs: ranks to look down to.

    Raises:
        ConfigError: a cutoff is below 1.
        InputError: a judged query has no ranking or the other way round, a passage is ranked twice, a grade is below 0,
            or nothing fits any query.
    """
    if not cutoffs or min(cutoffs) < 1:
        raise ConfigError(f"cutoffs are {tuple(cutoffs)}; each must be at least 1, and there must be one")
    _check(ranked, judgements)
    answerable = [query for query, grades in judgements.items() if any(grade > 0 for grade in grades.values())]
    if not answerable:
        raise InputError("nothing fits any query; give judgements with grades above 0")
    rows = [_query_scores(ranked[query], judgements[query], cutoffs) for query in answerable]
    return RankingScores(
        by_query={name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]},
        num_queries=len(answerable),
        num_unanswerable=len(judgements) - len(answerable),
        num_unjudged=sum(passage not in judgements[query] for query in answerable for passage in ranked[query]),
    )


def ranking_intervals(
    scores: RankingScores, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap intervals of the means, queries drawn again; arguments as in `score_intervals`."""
    return score_intervals(
        lambda taken: {name: float(values[taken].mean()) for name, values in scores.by_query.items()},
        scores.num_queries,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def recall_at(ranked: Sequence[str], grades: Mapping[str, float], cutoff: int) -> float:
    """Share of the fitting passages among the first `cutoff`."""
    fitting = {passage for passage, grade in grades.items() if grade > 0}
    return len(fitting.intersection(ranked[:cutoff])) / len(fitting)


def reciprocal_rank(ranked: Sequence[str], grades: Mapping[str, float], cutoff: int) -> float:
    """1 over the rank of the first fitting passage; 0 where none is among the first `cutoff`."""
    for rank, passage in enumerate(ranked[:cutoff], start=1):
        if grades.get(passage, 0) > 0:
            return 1.0 / rank
    return 0.0


def average_precision(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
    """Mean, over all fitting passages, of the precision at each one's rank; 0 for those not found."""
    total, found = 0.0, 0
    for rank, passage in enumerate(ranked, start=1):
        if grades.get(passage, 0) > 0:
            found += 1
            total += found / rank
    return total / sum(grade > 0 for grade in grades.values())


def ndcg_at(ranked: Sequence[str], grades: Mapping[str, float], cutoff: int) -> float:
    """Discounted gain of the first `cutoff` over that of the best order."""
    gains = [grades.get(passage, 0.0) for passage in ranked[:cutoff]]
    best = sorted(grades.values(), reverse=True)[:cutoff]
    return _discounted(gains) / _discounted(best)


def _discounted(gains: Sequence[float]) -> float:
    return float(np.asarray(gains, dtype=np.float64) @ (1.0 / np.log2(np.arange(2, len(gains) + 2))))


def _query_scores(ranked: Sequence[str], grades: Mapping[str, float], cutoffs: Sequence[int]) -> dict[str, float]:
    found = {"map": average_precision(ranked, grades)}
    for cutoff in cutoffs:
        found[f"recall@{cutoff}"] = recall_at(ranked, grades, cutoff)
        found[f"mrr@{cutoff}"] = reciprocal_rank(ranked, grades, cutoff)
        found[f"ndcg@{cutoff}"] = ndcg_at(ranked, grades, cutoff)
    return found


def _check(ranked: Mapping[str, Sequence[str]], judgements: Mapping[str, Mapping[str, float]]) -> None:
    apart = sorted(set(ranked) ^ set(judgements))
    if apart:
        lacks = "ranking" if apart[0] in judgements else "judgements"
        raise InputError(f"query {apart[0]!r} has no {lacks}; give both for each query (a ranking may be empty)")
    for query, passages in ranked.items():
        if len(set(passages)) < len(passages):
            twice = next(one for at, one in enumerate(passages) if one in passages[:at])
            raise InputError(f"query {query!r} ranks {twice!r} twice; rank each passage once")
    for query, grades in judgements.items():
        if any(not grade >= 0 for grade in grades.values()):
            raise InputError(f"query {query!r} has a grade below 0; 0 means that a passage does not fit")
