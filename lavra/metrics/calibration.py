"""Scores of honest probabilities: of the answers given with 80 %, 80 % should be right.

Log loss and Brier's score (1950) judge probabilities as a whole and are best for a model that states its true belief.
A reliability table sets the confidence of answers beside their accuracy, in bins of equal width; the expected
calibration error (Naeini et al. 2015; Guo et al. 2017, §2) is the mean gap between the two, weighted by the answers in
each bin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.metrics.intervals import Bools


def log_loss(truth: Sequence[str], probabilities: Sequence[Mapping[str, float]]) -> float:
    """Mean of -ln p(right label), in nats; infinite where a right label had no chance.

    Args:
        truth: (N,) the right labels.
        probabilities: (N,) of every label.
    """
    losses = [
        -math.log(chances[right]) if chances[right] > 0 else math.inf
        for right, chances in zip(truth, probabilities, strict=True)
    ]
    return sum(losses) / len(losses)


def brier_score(truth: Int64s, probabilities: Float64s) -> float:
    """Mean over the samples of the squared distance between the probabilities and the truth: 0 is best, 2 is worst.

    Args:
        truth: (N,) the right class by number.
        probabilities: (N, C), each row with the sum 1.

    Raises:
        InputError: there are no samples, or the lengths differ.
    """
    _check_lengths(len(truth), len(probabilities))
    wanted = np.eye(probabilities.shape[1])[truth]  # (N, C)
    return float(np.square(probabilities - wanted).sum(axis=1).mean())


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Answers of about the same confidence.

    Attributes:
        low: confidences above this are in the bin; 0 itself is in the first one.
        high: and up to this.
        count: answers in the bin.
        confidence: mean confidence of the answers; NaN where there are none.
        accuracy: the share of them that is right; NaN where there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(confidences: Float64s, right: Bools, *, num_bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Confidence beside accuracy, in bins of equal width from 0 to 1.

    Args:
        confidences: (N,) the probability of each answer that was given.
        right: (N,) whether it was right.
        num_bins: number of bins.

    Raises:
        ConfigError: there are fewer bins than 1.
        InputError: there are no answers, the lengths differ, or a confidence is not a probability.
    """
    if num_bins < 1:
        raise ConfigError(f"num_bins is {num_bins}; it must be at least 1, and 10 is usual")
    _check_lengths(len(right), len(confidences))
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise InputError("a confidence is not between 0 and 1; give probabilities, not scores")
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    places = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, num_bins - 1)
    return tuple(
        _bin(float(edges[at]), float(edges[at + 1]), confidences[places == at], right[places == at])
        for at in range(num_bins)
    )


def _bin(low: float, high: float, confidences: Float64s, right: Bools) -> ReliabilityBin:
    count = len(confidences)
    mean = float(confidences.mean()) if count else math.nan
    accuracy = float(right.mean()) if count else math.nan
    return ReliabilityBin(low=low, high=high, count=count, confidence=mean, accuracy=accuracy)


def expected_calibration_error(confidences: Float64s, right: Bools, *, num_bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by their answers; arguments as `reliability`."""
    bins = [one for one in reliability(confidences, right, num_bins=num_bins) if one.count]
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / len(confidences)


def _check_lengths(truth: int, given: int) -> None:
    if truth != given:
        raise InputError(f"{truth} samples have {given} probabilities; give one for each")
    if not truth:
        raise InputError("there are no samples to score; give at least 1")
