"""Fuse two lists of candidates into one.

Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009) adds 1 / (60 + rank) over the arms and needs nothing learned.
The weighted mean (Bruch, Gai and Ingber 2023, section 3) uses scores instead, scaled to 0 to 1 in each arm, and
needs one weight, which `learn_weights` learns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.rag.retrievers.arm import Candidates


def fuse_ranks(arms: Sequence[Candidates], constant: int) -> tuple[Int64s, Float64s]:
    """Fuse by reciprocal rank: (n,) ids and scores, the best first, equal scores by number."""
    return _best([(found.ids, 1.0 / (constant + np.arange(1, len(found.ids) + 1))) for found in arms])


def fuse_scores(arms: Sequence[Candidates], weights: Sequence[float]) -> tuple[Int64s, Float64s]:
    """Fuse by the weighted mean of scaled scores: (n,) ids and scores, the best first, equal scores by number.

    A chunk that an arm did not give gets the lowest score of that arm's chunks.
    """
    parts = [(found.ids, weight * scale(found.scores)) for found, weight in zip(arms, weights, strict=True)]
    return _best(parts)


def scale(scores: Float64s) -> Float64s:
    """Scale scores to between 0, the lowest, and 1, the highest; all become 1 where they are equal.

    >>> scale(np.array([9.0, 5.0, 7.0])).tolist()
    [1.0, 0.0, 0.5]
    """
    if not len(scores):
        return scores
    low, high = float(scores.min()), float(scores.max())
    if high <= low:
        return np.ones(len(scores))
    return (scores - low) / (high - low)


def _best(parts: Sequence[tuple[Int64s, Float64s]]) -> tuple[Int64s, Float64s]:
    ids: Int64s = np.unique(np.concatenate([one for one, _ in parts]))
    total = np.zeros(len(ids))
    for one, scores in parts:
        total[np.searchsorted(ids, one)] += scores
    order = np.argsort(-total, kind="stable")  # ids rise, so that equal scores are ordered by number
    return ids[order], total[order]
