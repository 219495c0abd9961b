"""Agreement beyond chance, of people or of a person and a model.

Cohen's kappa (1960; weighted 1968) for two raters who judged every unit; Krippendorff's alpha (2011, "Computing
Krippendorff's Alpha-Reliability") for any number of raters, where each may have left units out.  Both are 1 for full
agreement and 0 for that of chance, and not a number where only one value was ever given.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError


class Difference(Enum):
    """Measures of the distance of two values."""

    NOMINAL = "nominal"  # names: the same or not
    LINEAR = "linear"  # numbers: their distance
    QUADRATIC = "quadratic"  # numbers: their squared distance; interval data in Krippendorff's words
    ORDINAL = "ordinal"  # ranks: number of values given between the two, squared; Krippendorff's alpha alone


def cohen_kappa(first: Int64s, second: Int64s, *, difference: Difference = Difference.NOMINAL) -> float:
    """The agreement of two raters.

    Args:
        first: (N,) the first rater's class of each unit, as a number from 0.
        second: (N,) the second rater's.
        difference: distance of two classes; other than nominal where their order means something.

    Raises:
        ConfigError: `difference` is ordinal, which Cohen's kappa does not have.
        InputError: there are no units, the lengths differ, or a class is below 0.
    """
    if difference is Difference.ORDINAL:
        raise ConfigError("difference is ordinal, which Cohen's kappa does not have; say linear or quadratic")
    if len(first) != len(second) or not len(first):
        raise InputError(f"the raters judged {len(first)} and {len(second)} units; give the same ones, at least 1")
    if min(first.min(), second.min()) < 0:
        raise InputError(f"a class is {min(first.min(), second.min())}; classes are numbers from 0")
    num_classes = int(max(first.max(), second.max())) + 1
    together = np.bincount(first * num_classes + second, minlength=num_classes**2).reshape(num_classes, num_classes)
    by_chance = np.outer(together.sum(axis=1), together.sum(axis=0)) / len(first)
    apart = _differences(np.arange(num_classes, dtype=np.float64), difference)
    return _beyond_chance(float((apart * together).sum()), float((apart * by_chance).sum()))


def krippendorff_alpha(ratings: Float64s, *, difference: Difference = Difference.NOMINAL) -> float:
    """Agreement of any number of raters; units with fewer than two ratings are left out.

    Args:
        ratings: (raters, units) values; NaN where a rater left a unit out.
        difference: distance of two values.

    Raises:
        InputError: no unit was judged by two raters.
    """
    judged = ~np.isnan(ratings)
    kept = judged.sum(axis=0) >= 2
    if not kept.any():
        raise InputError("no unit was judged by two raters; agreement needs at least one that was")
    values = np.unique(ratings[:, kept][judged[:, kept]])
    counts = (ratings[:, kept, None] == values).sum(axis=0).astype(np.float64)  # (units, values)
    totals = counts.sum(axis=1)
    # Pairs of values within a unit, each unit weighted so that it counts for as many values as it has.
    paired = counts.T @ (counts / (totals - 1)[:, None]) - np.diag((counts / (totals - 1)[:, None]).sum(axis=0))
    frequencies = counts.sum(axis=0)
    by_chance = (np.outer(frequencies, frequencies) - np.diag(frequencies)) / (frequencies.sum() - 1)
    apart = _ranked_apart(frequencies) if difference is Difference.ORDINAL else _differences(values, difference)
    return _beyond_chance(float((apart * paired).sum()), float((apart * by_chance).sum()))


def _differences(values: Float64s, difference: Difference) -> Float64s:
    """(V, V) the difference of each value from each."""
    apart = np.abs(values[:, None] - values[None, :])
    if difference is Difference.NOMINAL:
        return (apart > 0).astype(np.float64)
    return np.square(apart) if difference is Difference.QUADRATIC else apart


def _ranked_apart(frequencies: Float64s) -> Float64s:
    """(V, V) squared number of values from the middle of one rank to the middle of the other (Krippendorff 2011, C)."""
    middles = np.cumsum(frequencies) - frequencies / 2
    return np.square(middles[:, None] - middles[None, :])


def _beyond_chance(observed: float, expected: float) -> float:
    return 1.0 - observed / expected if expected else math.nan
