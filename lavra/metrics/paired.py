"""Tests of two systems on the same samples, which tell smaller differences apart than two intervals side by side.

McNemar's exact test (1947) for two systems that are right or wrong on each sample; Holm's correction (1979) where more
than two are compared.  For scores of any kind, `lavra.metrics.intervals.difference_interval`.
"""

from __future__ import annotations

from collections.abc import Sequence


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p that two systems are equally good, from the samples that only one of them gets right.

    If they are, each such sample is a fair coin: twice the smaller tail of Binomial(n, 1/2), at most 1.
    """
    number, fewer = only_first + only_second, min(only_first, only_second)
    ways = tail = 1  # whole numbers, rounded once at the end
    for hits in range(fewer):
        ways = ways * (number - hits) // (hits + 1)  # of choosing one more
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
