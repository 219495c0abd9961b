"""Learn the weight of meaning against words from questions whose passages are known.

A corpus whose language the encoder reads badly gets a small weight, down to 0: that arm is then blind there, and
is not used.  The weight is the grid's weight with the best mean nDCG@10; its value is measured by
cross-validation over queries: each query is scored with weights learned without its fold, over several ways of
making the folds, since with few queries the result of a single way is chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.base.retrieval import SearchRequest
from lavra.metrics.ranking import ndcg_at
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.retrievers.arm import Arm, Candidates, Lookup
from lavra.rag.retrievers.fusion import fuse_scores

GRID: Final = tuple(round(0.05 * step, 2) for step in range(21))
CUTOFF: Final = 10  # depth of nDCG


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedWeight:
    """A learned weight and its measured quality.

    Attributes:
        dense_weight: weight learned on all queries; for `RetrievalConfig.dense_weight`.
        fold_weights: weights learned without each fold, of all splits.
        ndcg: mean nDCG@10 of queries, each with the weights learned without its fold.
        words_ndcg: mean nDCG@10 of words alone, over the same queries.
        dense_ndcg: mean nDCG@10 of meaning alone.
        by_query: nDCG@10 of each query with the weights learned without its fold, their mean over the splits.
    """

    dense_weight: float
    fold_weights: tuple[float, ...]
    ndcg: float
    words_ndcg: float
    dense_ndcg: float
    by_query: Mapping[str, float]


def learn_weights(
    table: ChunkTable,
    words: Arm,
    dense: Arm,
    queries: Mapping[str, str],
    judgements: Mapping[str, Mapping[int, float]],
    *,
    folds: int = 2,
    splits: int = 5,
    depth: int = 100,
    seed: int = 0,
) -> LearnedWeight:
    """Learn the weight of meaning against words.

    Args:
        table: the chunks.
        words: the arm of words.
        dense: the arm of meaning.
        queries: texts of the queries, by name.
        judgements: for each query the grade of each judged chunk, by number; chunks without a grade do not fit.
        folds: number of parts that the queries are divided into.
        splits: number of ways of dividing them.
        depth: number of passages that each arm gives.
        seed: decides the folds.

    Raises:
        ConfigError: fewer than 2 folds, or no split.
        InputError: fewer queries with a fitting chunk than folds.
    """
    if folds < 2 or splits < 1:
        raise ConfigError(f"folds are {folds} and splits {splits}; they must be at least 2 and 1")
    names = [name for name in queries if any(grade > 0 for grade in judgements.get(name, {}).values())]
    if len(names) < folds:
        raise InputError(f"{len(names)} queries have a passage that fits; at least {folds} are needed, one a fold")
    found = [_ask(table, words, dense, queries[name], depth) for name in names]
    scores = np.array(
        [_curve(pair, judgements[name]) for name, pair in zip(names, found, strict=True)]
    )  # (Q, W) nDCG of each query at each weight
    rng = np.random.default_rng(seed)
    held_out = [_held_out(scores, rng.permutation(len(names)) % folds) for _ in range(splits)]
    own = np.mean([values for values, _ in held_out], axis=0)
    return LearnedWeight(
        dense_weight=GRID[best_weight(scores)],
        fold_weights=tuple(GRID[place] for _, places in held_out for place in places),
        ndcg=float(own.mean()),
        words_ndcg=float(scores[:, 0].mean()),
        dense_ndcg=float(scores[:, -1].mean()),
        by_query=dict(zip(names, own.tolist(), strict=True)),
    )


def _held_out(scores: Float64s, fold: Int64s) -> tuple[Float64s, list[int]]:
    """(Q,) score of each query at the weight that the other folds choose; the places of those weights in the grid."""
    places = [best_weight(scores[fold != number]) for number in range(fold.max() + 1)]
    return scores[np.arange(len(scores)), np.array(places)[fold]], places


def best_weight(scores: Float64s) -> int:
    """The place in the grid of the best weight for (Q, W) scores.

    The mean over queries is smoothed over three neighbours, because a peak of one weight is chance.
    """
    mean = scores.mean(axis=0)
    padded = np.concatenate([mean[:1], mean, mean[-1:]])
    return int(np.convolve(padded, np.ones(3) / 3, mode="valid").argmax())


def _ask(table: ChunkTable, words: Arm, dense: Arm, query: str, depth: int) -> tuple[Candidates, Candidates]:
    lookup = Lookup.of(table, SearchRequest(query=query), depth)
    return words.candidates(lookup), dense.candidates(lookup)


def _curve(pair: Sequence[Candidates], grades: Mapping[int, float]) -> list[float]:
    named = {str(id): grade for id, grade in grades.items()}
    curve = []
    for weight in GRID:
        # An arm of weight 0 is not asked, so that its candidates do not stand behind those of the other.
        asked = [(found, share) for found, share in zip(pair, (1 - weight, weight), strict=True) if share > 0]
        ids, _ = fuse_scores([found for found, _ in asked], [share for _, share in asked])
        curve.append(ndcg_at([str(id) for id in ids[:CUTOFF]], named, CUTOFF))
    return curve
