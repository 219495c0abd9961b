"""Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1999, §3) over any ordered list of neighbours.

The probability of a token given its context is its discounted relative count after that context, plus the mass that
the discounts freed times the probability given the context without its farthest token:

    p_n(w | h) = max(c(hw) - D(c), 0) / c(h·) + γ(h) p_{n-1}(w | h')       D has a value each for c = 1, 2 and ≥ 3
    γ(h) = (D1 N1(h·) + D2 N2(h·) + D3 N3+(h·)) / c(h·)                     the freed mass; every p_n sums to 1
    c = occurrences at the highest order; below, the number of distinct tokens that extend hw (continuation counts)

and the unigram backs off to the uniform distribution.  "Neighbours" need not be the tokens to the left: a model of the
tokens to the right, or of both sides from the inside out, has the same arithmetic with other columns.

All tables are sorted int64 arrays.  Five tokens of a 64k vocabulary do not fit 64 bits, so ids are chained order by
order: a context's key is (id of the context one shorter) x (vocabulary + 1) + token, an n-gram's key is (context id) x
vocabulary + token, and ids are ranks among the sorted keys.  Deliberately absent: pruning and quantisation (Heafield
2011); this model is only used for measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s, Ints

# Used if counts of counts are too few to estimate discounts from (Heafield's KenLM falls back to the same values).
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """An order of the model.

    Attributes:
        context_keys: (C,) sorted; the rank of a key is the context's id. One context, 0, at the unigram.
        freed: (C,) γ of each context.
        gram_keys: (G,) sorted, context id x vocabulary + token.
        discounted: (G,) max(c - D, 0) / c(h·).
        discounts: D1, D2, D3+.
    """

    context_keys: npt.NDArray[np.int64]
    freed: Float64s
    gram_keys: npt.NDArray[np.int64]
    discounted: Float64s
    discounts: tuple[float, float, float]


class KneserNey:
    """A trained Kneser-Ney model."""

    def __init__(self, vocab_size: int, levels: Sequence[_Level]) -> None:
        """Take trained levels; call `KneserNey.train` instead."""
        self.vocab_size = vocab_size
        self._levels = tuple(levels)

    @property
    def order(self) -> int:
        """Tokens in the longest n-gram."""
        return len(self._levels)

    @property
    def discounts(self) -> tuple[tuple[float, float, float], ...]:
        """(D1, D2, D3+) of each order, unigrams first."""
        return tuple(level.discounts for level in self._levels)

    @classmethod
    def train(cls, targets: Ints, neighbours: Sequence[Ints], vocab_size: int) -> KneserNey:
        """Train a model: count n-grams and estimate discounts.

        Args:
            targets: (M,) tokens to predict, 0 ≤ id < vocab_size; at least one.
            neighbours: order - 1 columns (M,), from the column dropped last to the column dropped first;
                `vocab_size` stands for "outside the text".
            vocab_size: number of tokens that share the uniform distribution.
        """
        context_keys, grams, links = _count(targets, neighbours, vocab_size)
        levels: list[_Level] = []
        for order, (keys, occurrences) in enumerate(grams):
            top = order == len(grams) - 1
            # Every n-gram has at least one extension, since "outside the text" counts as a neighbour.
            counts = occurrences if top else np.bincount(links[order + 1], minlength=len(keys))
            levels.append(_smooth(context_keys[order], keys, counts, vocab_size))
        return cls(vocab_size, levels)

    def probabilities(self, targets: Ints, neighbours: Sequence[Ints]) -> Float64s:
        """(M,) probability of each target; a negative neighbour is unknown and ends the context."""
        result = np.full(len(targets), 1.0 / self.vocab_size)
        context = np.zeros(len(targets), dtype=np.int64)
        alive = np.arange(len(targets))
        for order, level in enumerate(self._levels):
            if order:
                context, alive = self._extend(level, context, alive, neighbours[order - 1])
            place, found = _find(level.gram_keys, context * self.vocab_size + targets[alive])
            result[alive] = np.where(found, level.discounted[place], 0.0) + level.freed[context] * result[alive]
        return result

    def distributions(self, neighbours: Sequence[Ints], num_rows: int) -> npt.NDArray[np.float32]:
        """(num_rows, V) float32, the whole distribution of each row; negative neighbours are as in `probabilities`."""
        result = np.full((num_rows, self.vocab_size), 1.0 / self.vocab_size, dtype=np.float32)
        context = np.zeros(num_rows, dtype=np.int64)
        alive = np.arange(num_rows)
        for order, level in enumerate(self._levels):
            if order:
                context, alive = self._extend(level, context, alive, neighbours[order - 1])
            result[alive] *= level.freed[context, None].astype(np.float32)
            first = np.searchsorted(level.gram_keys, context * self.vocab_size)
            last = np.searchsorted(level.gram_keys, (context + 1) * self.vocab_size)
            counts = last - first
            place = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
            # Within a context every token occurs once: no pair (row, token) is repeated.
            result[np.repeat(alive, counts), level.gram_keys[place] % self.vocab_size] += level.discounted[place]
        return result

    def _extend(
        self, level: _Level, context: npt.NDArray[np.int64], alive: npt.NDArray[np.int64], neighbour: Ints
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Extend contexts by one token, for the rows whose longer context was seen."""
        token = neighbour[alive]
        place, found = _find(level.context_keys, context * (self.vocab_size + 1) + token)
        found &= token >= 0
        return place[found], alive[found]


def _find(
    keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Places of the wanted keys, and whether each of them exists."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


Counted = tuple[list[npt.NDArray[np.int64]], list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]], list[Ints]]


def _count(targets: Ints, neighbours: Sequence[Ints], vocab_size: int) -> Counted:
    """Count n-grams; for each order: context keys, n-gram keys with occurrences, each n-gram's id one order below."""
    context: Ints = np.zeros(len(targets), dtype=np.int64)
    context_keys, grams, links = [np.zeros(1, dtype=np.int64)], [], []
    below: Ints = np.zeros(len(targets), dtype=np.int64)
    for order in range(len(neighbours) + 1):
        if order:
            keys, context = _rank(context * (vocab_size + 1) + neighbours[order - 1])
            context_keys.append(keys)
        keys, gram = _rank(context * vocab_size + targets)
        link = np.empty(len(keys), dtype=np.int64)
        link[gram] = below
        links.append(link)
        grams.append((keys, np.bincount(gram)))
        below = gram
    return context_keys, grams, links


def _rank(keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sorted distinct keys, and each key's place among them."""
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct, place


def _smooth(
    context_keys: npt.NDArray[np.int64], gram_keys: npt.NDArray[np.int64], counts: Ints, vocab_size: int
) -> _Level:
    discounts = estimate_discounts(counts)
    context = gram_keys // vocab_size
    # Discount of each n-gram: D0 = 0, D1, D2, D3+.
    discount = np.asarray((0.0, *discounts))[np.minimum(counts, 3)]
    total = np.bincount(context, weights=counts, minlength=len(context_keys))
    freed = np.bincount(context, weights=discount, minlength=len(context_keys))
    return _Level(
        context_keys=context_keys,
        freed=freed / total,
        gram_keys=gram_keys,
        discounted=(counts - discount) / total[context],
        discounts=discounts,
    )


def estimate_discounts(counts: Ints) -> tuple[float, float, float]:
    """D1, D2 and D3+ from counts of counts (Chen & Goodman 1999, eq. 17), or fixed values if the counts are too few.

    Args:
        counts: the count of each distinct n-gram of one order.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=5)[:5].astype(np.float64)  # n[i] = n-grams counted i times
    if n[1:5].min() == 0:
        return FALLBACK_DISCOUNTS
    y = n[1] / (n[1] + 2 * n[2])
    first, second, third = (i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))
    if min(first, second, third) <= 0.0:  # a context might free nothing, and give unseen tokens no probability
        return FALLBACK_DISCOUNTS
    return float(min(first, 1.0)), float(min(second, 2.0)), float(min(third, 3.0))
