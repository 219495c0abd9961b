"""What a comparison on a labelled set may claim: intervals, F1, log-loss and paired tests, in plain Python.

Wilson's interval (1927) for a share, McNemar's exact test (1947) for two prompts on the same samples, Holm's correction
(1979) where more than two are compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


def wilson_interval(num_right: int, num_all: int, z: float = Z95) -> tuple[float, float]:
    """Bounds of the share behind `num_right` of `num_all`; (0, 1) where there is nothing to go by."""
    if num_all == 0:
        return 0.0, 1.0
    share, weight = num_right / num_all, z * z / num_all
    centre = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / num_all + weight / (4 * num_all)) / (1 + weight)
    low = 0.0 if num_right == 0 else max(0.0, centre - half)
    high = 1.0 if num_right == num_all else min(1.0, centre + half)
    return low, high


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p that two methods are equally good, from the samples that only one of them gets right.

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


def macro_f1(truth: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]) -> float:
    """Mean over the labels of F1 = 2 TP / (2 TP + FP + FN); 0 for a label neither asked for nor answered.

    Args:
        truth: (N,) the right labels.
        answers: (N,) the given ones; None, no label at all, is wrong for the right label's recall.
        labels: the labels averaged over.
    """
    total = 0.0
    for label in labels:
        hits = sum(right == label == given for right, given in zip(truth, answers, strict=True))
        named = sum(right == label for right in truth) + sum(given == label for given in answers)
        total += 2 * hits / named if named else 0.0
    return total / len(labels)


def log_loss(truth: Sequence[str], probabilities: Sequence[Mapping[str, float]]) -> float:
    """Mean of -ln p(right label), in nats; infinite where a right label had no chance."""
    losses = [
        -math.log(chances[right]) if chances[right] > 0 else math.inf
        for right, chances in zip(truth, probabilities, strict=True)
    ]
    return sum(losses) / len(losses)
