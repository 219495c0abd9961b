"""Intervals of a score: its likely range over other samples of the same kind.

The percentile bootstrap (Efron 1979): the samples are drawn again with replacement many times, and the middle 95 % of
the scores of those draws is the interval.  For a share of right answers there is an exact one (Clopper and Pearson
1934), and Wilson's (1927), which is narrower and right on average.  Draws come from Philox by seed, so an interval is
the same on every machine.  Deliberately absent: bias-corrected intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError

Bools = npt.NDArray[np.bool_]

RESAMPLES = 1000
LEVEL = 0.95
_BISECTIONS = 50  # halvings of [0, 1]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The likely range of a score.

    Attributes:
        low: lower end.
        high: upper end.
        level: share of such intervals that hold the true value, 0.95 for instance.
        num_undefined: resamples whose score was not a number (a correlation of equal values); they are left out.
    """

    low: float
    high: float
    level: float = LEVEL
    num_undefined: int = 0

    def __str__(self) -> str:
        return f"[{self.low:.4f}, {self.high:.4f}]"


def score_intervals(
    scores: Callable[[Int64s], Mapping[str, float]],
    num_samples: int,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """The bootstrap interval of every score, all from the same draws.

    Args:
        scores: a function from the indexes (N,) of drawn samples to the scores by name.
        num_samples: number of samples (N).
        resamples: number of draws.
        level: share of intervals that are to hold the true value.
        seed: seed of the draws.

    Raises:
        ConfigError: a setting is out of range.
        InputError: there are no samples.
    """
    _check(resamples, level)
    if num_samples < 1:
        raise InputError(f"there are {num_samples} samples; an interval needs at least 1")
    draw = np.random.Generator(np.random.Philox(seed))
    rows = [scores(draw.integers(0, num_samples, size=num_samples)) for _ in range(resamples)]
    return {name: _interval(np.array([row[name] for row in rows], dtype=np.float64), level) for name in rows[0]}


def mean_interval(values: Float64s, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Interval:
    """The bootstrap interval of the mean of one value a sample.

    Args:
        values: (N,).
        resamples: number of draws.
        level: share of intervals that are to hold the true mean.
        seed: seed of the draws.

    Raises:
        ConfigError: a setting is out of range.
        InputError: there are no values.
    """
    means = score_intervals(
        lambda taken: {"mean": float(values[taken].mean())}, len(values), resamples=resamples, level=level, seed=seed
    )
    return means["mean"]


def difference_interval(
    first: Float64s, second: Float64s, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval:
    """The interval of mean(first) - mean(second), two systems on the same samples: better where it lies above 0.

    Args:
        first: (N,) the first system's score of each sample.
        second: (N,) the second system's, in the same order.
        resamples: number of draws.
        level: share of intervals that are to hold the true difference.
        seed: seed of the draws.

    Raises:
        ConfigError: a setting is out of range.
        InputError: the scores differ in length, or are empty.
    """
    if len(first) != len(second):
        raise InputError(f"the systems have {len(first)} and {len(second)} samples; compare them on the same ones")
    return mean_interval(first - second, resamples=resamples, level=level, seed=seed)


def share_interval(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """The exact interval of a share, such as an accuracy (Clopper and Pearson 1934): never too narrow.

    Args:
        successes: number of right answers.
        trials: number of answers.
        level: share of intervals, at least, that hold the true share.

    Raises:
        ConfigError: `level` is out of range.
        InputError: the counts are not those of a share.
    """
    _check(1, level)
    if not 0 <= successes <= trials or trials < 1:
        raise InputError(f"{successes} of {trials} is not a share; give at least 1 trial and at most as many successes")
    tail = (1.0 - level) / 2.0
    low = 0.0 if successes == 0 else _share_at(successes, trials, tail)
    high = 1.0 if successes == trials else _share_at(successes + 1, trials, 1.0 - tail)
    return Interval(low=low, high=high, level=level)


def wilson_interval(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Wilson's interval of a share: right on average, where `share_interval` is never too narrow.

    Args:
        successes: number of right answers.
        trials: number of answers; with 0, the share may be anything from 0 to 1.
        level: share of intervals that are to hold the true share.

    Raises:
        ConfigError: `level` is out of range.
    """
    _check(1, level)
    if trials == 0:
        return Interval(low=0.0, high=1.0, level=level)
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low=low, high=high, level=level)


def _check(resamples: int, level: float) -> None:
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}; it must be at least 1, and 1000 for a usable interval")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"level is {level}; it must lie between 0 and 1 (0.95 is usual)")


def _interval(values: Float64s, level: float) -> Interval:
    defined = values[np.isfinite(values)]
    num_undefined = len(values) - len(defined)
    if not len(defined):
        return Interval(low=math.nan, high=math.nan, level=level, num_undefined=num_undefined)
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(low=float(low), high=float(high), level=level, num_undefined=num_undefined)


def _share_at(successes: int, trials: int, probability: float) -> float:
    """The share at which a binomial gives at least that many successes with this probability, by bisection."""
    at = np.arange(successes, trials + 1, dtype=np.float64)
    ways = math.lgamma(trials + 1) - _log_factorials(at) - _log_factorials(trials - at)  # log C(trials, at)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        share = (low + high) / 2.0
        logs = ways + at * math.log(share) + (trials - at) * math.log1p(-share)
        low, high = (share, high) if np.exp(logs).sum() < probability else (low, share)
    return (low + high) / 2.0


def _log_factorials(counts: Float64s) -> Float64s:
    return np.fromiter((math.lgamma(count + 1.0) for count in counts), dtype=np.float64, count=len(counts))
