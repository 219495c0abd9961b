"""Choose examples as shots: drawn at random, nearest to the question, unlike each other, or evenly by label.

Every function ranks a pool and returns indices, best first; taking the first k of a ranking is a selection.

* `rank_random`: each example draws a number of its own from the seed and its content (Philox, Salmon et al. 2011), so
  the choice depends neither on the order of the pool nor on the other examples in it.
* `rank_nearest`: by the cosine of embeddings (Liu et al. 2022, "What Makes Good In-Context Examples for GPT-3?").
* `rank_diverse`: maximal marginal relevance (Carbonell & Goldstein 1998) where there is a question, farthest point
  first (Gonzalez 1985) where there is none.
* `balanced`: goes round the labels, each by any of the rankings (Zhao et al. 2021, §4: a label shown more often is
  answered more often).

The order in which shots stand is a choice of its own (`arranged`): the last one weighs most (Zhao et al. 2021, §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from lavra.base.arrays import Floats
from lavra.base.errors import ConfigError
from lavra.base.files import hash_json


class ExampleSelection(Enum):
    """The way shots are chosen."""

    RANDOM = "random"
    NEAREST = "nearest"
    DIVERSE = "diverse"
    BALANCED = "balanced"


class ShotOrder(Enum):
    """The order of the chosen shots in the prompt."""

    BEST_LAST = "best-last"  # beside the question; the better order depends on the data (Liu et al. 2022)
    BEST_FIRST = "best-first"


def rank_random(contents: Sequence[Any], seed: int) -> list[int]:
    """Rank a pool at random.

    Args:
        contents: content of each example, as JSON.
        seed: decides the order; another seed gives another order.
    """
    keys = [int(hash_json(content), 16) for content in contents]
    draws = [float(np.random.Generator(np.random.Philox(key=[seed, key])).random()) for key in keys]
    return sorted(range(len(keys)), key=lambda index: (draws[index], keys[index], index))


def rank_nearest(query: Floats, pool: Floats) -> list[int]:
    """Rank by cosine with the question, most similar first; equals in the order of the pool.

    Args:
        query: (D,)
        pool: (N,D)
    """
    ranking: list[int] = np.argsort(-(_unit(pool) @ _unit(query)), kind="stable").tolist()
    return ranking


def rank_diverse(
    pool: Floats, query: Floats | None = None, *, relevance: float = 0.5, most: int | None = None
) -> list[int]:
    """Rank one example after another, each the best compromise between near the question and unlike those before.

    The next is the example with the largest `relevance * cos(it, question) - (1 - relevance) * max cos(it, a chosen
    one)`. Without a question it is the example farthest from all chosen, beginning with the example nearest to all.

    Args:
        pool: (N,D)
        query: (D,)
        relevance: weight of nearness: from 0, only unlike each other, to 1, only near the question.
        most: length at which the ranking ends, which saves time.

    Raises:
        ConfigError: `relevance` is out of range.
    """
    if not 0 <= relevance <= 1:
        raise ConfigError(f"relevance={relevance} is outside 0..1; 0.5 is half and half")
    unit = _unit(pool)
    if len(unit) == 0:
        return []
    if query is None:
        relevant, weight = np.zeros(len(unit)), 1.0
        first = int(np.argmax(unit @ unit.sum(axis=0)))
    else:
        relevant, weight = relevance * (unit @ _unit(query)), 1.0 - relevance
        first = int(np.argmax(relevant)) if relevance > 0 else int(np.argmax(unit @ unit.sum(axis=0)))
    chosen, closest = [first], np.full(len(unit), -np.inf)
    while len(chosen) < (len(unit) if most is None else min(most, len(unit))):
        closest = np.maximum(closest, unit @ unit[chosen[-1]])
        gains = relevant - weight * closest
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
    return chosen


def balanced(labels: Sequence[str], ranking: Sequence[int]) -> list[int]:
    """Go round the labels and take the best example of each; labels come in the order in which the ranking meets them.

    Any beginning of the result has as many of one label as of another, or one more, until a label runs out.

    Args:
        labels: (N,) the label of each example.
        ranking: indices, best first.
    """
    queues: dict[str, list[int]] = {}
    for index in ranking:
        queues.setdefault(labels[index], []).append(index)
    rounds = max(map(len, queues.values()), default=0)
    return [queue[turn] for turn in range(rounds) for queue in queues.values() if turn < len(queue)]


def arranged(ranking: Sequence[int], order: ShotOrder) -> list[int]:
    """Put chosen examples, best first, in the order in which they stand in the prompt."""
    return list(ranking) if order is ShotOrder.BEST_FIRST else list(reversed(ranking))


def _unit(vectors: Floats) -> Floats:
    """Scale rows to length 1; a row of zeros stays, and is equally near to every other row."""
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths == 0, 1.0, lengths)
