"""Draws for many rows at once: from the softmax of scores, restricted by top-k, top-p and min-p.

No row is sorted.  A token is drawn from the whole distribution, and kept if the cuts would keep it; a single comparison
with its row decides this: the number and the mass of likelier tokens.  A token that is cut is drawn again; after three
times the row is cut in full and a token is drawn from the rest.  The result has the distribution of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int64s
from lavra.base.types import SamplingConfig
from lavra.generate.random_numbers import UNIFORMS

Doubles = npt.NDArray[np.float64]

LEAST: Final = 1e-30  # a divisor; below it float32 would divide by 0
_STRIDE: Final = 64  # tokens whose weights are added up first: a draw then searches one stride, not the vocabulary


def draw_rows(scores: Float32s, configs: Sequence[SamplingConfig], uniforms: Doubles) -> Int64s:
    """Draw a token for each row.

    Args:
        scores: (R, V), -inf where an id may not be drawn; overwritten.
        configs: temperature over 0, and the cuts, of each row.
        uniforms: (R, 4) in [0, 1).

    Returns:
        (R,) ids.
    """
    rows = _Rows(_weights(scores, configs), configs)
    tokens = rows.draw(uniforms[:, 0])
    cut = np.flatnonzero(~rows.keeps(tokens))
    for attempt in range(1, UNIFORMS - 1):
        if not len(cut):
            return tokens
        some = rows.only(cut)
        tokens[cut] = again = some.draw(uniforms[cut, attempt])
        cut = cut[~some.keeps(again)]
    for row in cut:
        tokens[row] = _draw_from(rows.kept(int(row)), uniforms[row, UNIFORMS - 1])
    return tokens


def _weights(scores: Float32s, configs: Sequence[SamplingConfig]) -> Float32s:
    """exp(scores / temperature), the likeliest 1; in place."""
    temperatures = [[min(max(config.temperature, LEAST), 1 / LEAST)] for config in configs]
    scores -= scores.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # -inf has no weight, as it should
        scores /= np.array(temperatures, dtype=np.float32)
    return np.exp(scores, out=scores)


@dataclass
class _Rows:
    """(R, V) weights to draw from, and the settings of the cuts."""

    weights: Float32s
    configs: Sequence[SamplingConfig]

    def __post_init__(self) -> None:
        starts = np.arange(0, self.weights.shape[1], _STRIDE)
        self.cumulated = np.add.reduceat(self.weights, starts, axis=1, dtype=np.float64).cumsum(axis=1)  # (R, strides)
        self.total = self.cumulated[:, -1]  # (R,)

    def only(self, rows: Int64s) -> _Rows:
        """The given rows."""
        return _Rows(self.weights[rows], [self.configs[row] for row in rows])

    def draw(self, uniforms: Doubles) -> Int64s:
        """(R,) ids by the inverse of the cumulated weights, without cuts."""
        numbers = np.arange(len(self.weights))
        target = np.minimum(uniforms * self.total, np.nextafter(self.total, 0.0))
        stride = (self.cumulated <= target[:, None]).sum(axis=1)
        before = np.where(stride > 0, self.cumulated[numbers, stride - 1], 0.0)
        ids = stride[:, None] * _STRIDE + np.arange(_STRIDE)  # (R, stride)
        inside = ids < self.weights.shape[1]
        weights = np.where(inside, self.weights[numbers[:, None], np.where(inside, ids, 0)], 0)
        place = (before[:, None] + weights.cumsum(axis=1, dtype=np.float64) <= target[:, None]).sum(axis=1)
        last = _STRIDE - 1 - (weights[:, ::-1] > 0).argmax(axis=1)  # sums in another order may end a little lower
        tokens: Int64s = stride * _STRIDE + np.minimum(place, last)
        return tokens

    def keeps(self, tokens: Int64s) -> npt.NDArray[np.bool_]:
        """Whether each row's cuts keep its token."""
        own = self.weights[np.arange(len(tokens)), tokens]
        kept: npt.NDArray[np.bool_] = own >= np.array([config.min_p for config in self.configs], dtype=np.float32)
        by_count = any(config.top_k > 0 for config in self.configs)
        by_mass = any(config.top_p < 1 for config in self.configs)
        if not by_count and not by_mass:
            return kept
        above = self.weights > own[:, None]
        if by_count:
            kept &= above.sum(axis=1) < [config.top_k or above.shape[1] for config in self.configs]
        if by_mass:
            kept &= (self.weights * above).sum(axis=1) < self._mass()
        return kept

    def _mass(self) -> list[float]:
        """The bound on the mass that is likelier than a kept token: p of the mass that top-k leaves."""
        return [
            np.inf if config.top_p == 1 else config.top_p * (_top(row, config.top_k).sum() if config.top_k else total)
            for row, config, total in zip(self.weights, self.configs, self.total, strict=True)
        ]

    def kept(self, number: int) -> Float32s:
        """(V,) weights of one row, 0 where they are cut."""
        row, config = self.weights[number], self.configs[number]
        least = max(np.float32(config.min_p), np.finfo(np.float32).tiny)
        if config.top_k:
            least = max(least, _top(row, config.top_k).min())
        if config.top_p < 1:
            ranked = np.sort(_top(row, config.top_k))[::-1]
            reached = ranked.cumsum(dtype=np.float64)
            count = int(np.searchsorted(reached, config.top_p * reached[-1], side="left"))
            least = max(least, ranked[min(count, len(ranked) - 1)])
        return np.where(row >= least, row, np.float32(0))


def _top(row: Float32s, count: int) -> Float32s:
    """The largest values, all values equal to the last of them included; all values where the count is 0."""
    if not 0 < count < len(row):
        return row
    top: Float32s = row[row >= np.partition(row, -count)[-count]]
    return top


def _draw_from(weights: Float32s, uniform: float) -> int:
    cumulated = weights.cumsum(dtype=np.float64)
    target = min(uniform * cumulated[-1], np.nextafter(cumulated[-1], 0.0))
    return int(np.searchsorted(cumulated, target, side="right"))
