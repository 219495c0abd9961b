"""From scores to probabilities, in float64 for scores of any type."""

from __future__ import annotations

import numpy as np

from lavra.base.arrays import Float64s, Floats


def softmax(scores: Floats) -> Float64s:
    """(…,N) probabilities of log-scores; each row of the last axis has the sum 1."""
    exact = scores.astype(np.float64)
    weights = np.exp(exact - exact.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def sigmoid(scores: Floats) -> Float64s:
    """The probability of each score by itself, of the same shape."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores.astype(np.float64))))
