"""From scores to probabilities, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from lavra.metrics.probabilities import sigmoid, softmax


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_probabilities_are_scipys(dtype: type, shape: tuple[int, ...]) -> None:
    scores = (np.random.default_rng(0).normal(size=shape) * 300).astype(dtype)
    exact = scores.astype(np.float64)
    assert softmax(scores).dtype == sigmoid(scores).dtype == np.float64
    np.testing.assert_allclose(softmax(scores), scipy.special.softmax(exact, axis=-1), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(sigmoid(scores), scipy.special.expit(exact), rtol=1e-12, atol=1e-300)
