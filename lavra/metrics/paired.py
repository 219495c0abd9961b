"""Tests of two systems on the same samples, which tell smaller differences apart than two intervals side by side.

McNemar's exact test (1947) for two systems that are right or wrong on each sample; for the mean of any score the
permutation test of Fisher (1935), which flips the signs of the differences; for a score of all samples together (F1,
BLEU) approximate randomization (Noreen 1989), which swaps the two systems' samples.  Holm's correction (1979) where
more than two are compared.  The power of these tests gives the number of samples that show a difference of a size.
Draws come from Philox by seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s

POWER = 0.8
DRAWS = 10_000
_BLOCK = 256  # draws computed at once
_EXACT_UP_TO = 4000  # discordant samples; above it the normal approximation is as good


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p that two systems are equally good, from the samples that only one of them gets right.

    If they are, each such sample is a fair coin: twice the smaller tail of Binomial(n, 1/2), at most 1.
    """
    number, fewer = only_first + only_second, min(only_first, only_second)
    ways = tail = 1  # whole numbers, rounded once at the end
    for hits in range(fewer):
        ways = ways * (number - hits) // (hits + 1)  # number of ways to choose one more
        tail += ways
    return min(1.0, float(2 * tail / 2**number))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: any under 0.05 is a false one in at most 5 % of cases."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = worst
    return corrected


def sign_flip_p(differences: Float64s, *, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p that the mean difference of two systems is 0: the share of random signs with a mean as far from it.

    Args:
        differences: (N,) the first system's score of each sample less the second's.
        draws: random choices of signs; the observed one is counted among them, so p is never 0.
        seed: seed of the draws.
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    draw = np.random.Generator(np.random.Philox(seed))
    seen = abs(float(moved.sum())) * (1 - 1e-12)  # a draw that equals it but for rounding is as far
    as_far, done = 0, 0
    while done < draws:
        rows = min(_BLOCK, draws - done)
        signs = draw.integers(0, 2, size=(rows, len(moved)), dtype=np.int8) * 2.0 - 1.0
        as_far += int((np.abs(signs @ moved) >= seen).sum())
        done += rows
    return (1 + as_far) / (1 + draws)


def swap_p(
    difference: Callable[[npt.NDArray[np.bool_]], float], num_samples: int, *, draws: int = 1000, seed: int = 0
) -> float:
    """Two-sided p that two systems are equally good by a score of all samples together.

    Args:
        difference: a function from (N,), True where a sample's answers are swapped, to the second score less the first.
        num_samples: number of samples (N).
        draws: random choices of samples to swap.
        seed: seed of the draws.
    """
    draw = np.random.Generator(np.random.Philox(seed))
    seen = abs(difference(np.zeros(num_samples, dtype=np.bool_))) * (1 - 1e-12)
    if not seen:
        return 1.0
    as_far = sum(abs(difference(draw.integers(0, 2, size=num_samples).astype(np.bool_))) >= seen for _ in range(draws))
    return (1 + as_far) / (1 + draws)


def needed_discordant(
    only_first: int, only_second: int, num_samples: int, *, alpha: float = 0.05, power: float = POWER
) -> int | None:
    """Samples with which McNemar's exact test finds a difference of the size seen, with the given power.

    The share of samples that only one system gets right, and their split, are taken as seen.  `None` where they
    split evenly: no number of samples tells equal systems apart.
    """
    discordant = only_first + only_second
    if only_first == only_second:
        return None
    share = max(only_first, only_second) / discordant
    lean = 2 * share - 1
    reach = NormalDist().inv_cdf(1 - alpha / 2)
    ahead = NormalDist().inv_cdf(power)
    number = math.ceil(((reach + ahead * math.sqrt(max(0.0, 1 - lean * lean))) / lean) ** 2)  # Connor 1987
    while number < _EXACT_UP_TO and _sign_test_power(number, share, alpha) < power:
        number += 1
    return math.ceil(number * num_samples / discordant)


def needed_items(
    difference: float, standard_error: float, num_items: int, *, alpha: float = 0.05, power: float = POWER
) -> int | None:
    """Samples with which a difference of the size seen is found with the given power; `None` where it is 0.

    Args:
        difference: the difference seen on `num_items` samples.
        standard_error: standard error of that difference; it falls with the root of the number of samples.
        num_items: number of those samples.
        alpha: two-sided level of the test.
        power: share of tests that are to find the difference.
    """
    if difference == 0:
        return None
    reach = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return max(1, math.ceil(num_items * (reach * standard_error / difference) ** 2))


def _sign_test_power(number: int, share: float, alpha: float) -> float:
    """The share of two-sided exact sign tests of `number` coins with that share that reject a fair coin."""
    hits = np.arange(number + 1, dtype=np.float64)
    factorials = np.cumsum(np.log(np.maximum(hits, 1.0)))
    ways = factorials[-1] - factorials - factorials[::-1]
    fair = np.cumsum(np.exp(ways - number * math.log(2)))
    fewest = int(np.searchsorted(fair, alpha / 2, side="right"))  # tails with fewer hits are rejected
    if not fewest:
        return 0.0
    if share == 1.0:
        return 1.0
    real = np.exp(ways + hits * math.log(share) + (number - hits) * math.log1p(-share))
    return float(real[:fewest].sum() + real[number - fewest + 1 :].sum())
