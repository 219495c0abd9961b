"""Probabilities against the truth: scikit-learn's scores, and explicitly counted bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.calibration import brier_score, expected_calibration_error, log_loss, reliability

answers = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40)


def drawn(size: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    chances = draw.dirichlet([1, 1, 1], size=size)
    return draw.integers(0, 3, size=size), chances


def test_log_loss_is_sklearns() -> None:
    draw = np.random.default_rng(0)
    chances = draw.dirichlet([1, 1, 1], size=20)
    truth = draw.choice(list("abc"), size=20).tolist()
    ours = log_loss(truth, [dict(zip("abc", row.tolist(), strict=True)) for row in chances])
    assert ours == pytest.approx(sklearn.metrics.log_loss(truth, chances, labels=list("abc")))
    assert log_loss(["a"], [{"a": 0.0, "b": 1.0}]) == math.inf


def test_brier_score_is_sklearns() -> None:
    truth, chances = drawn(50)
    theirs = sklearn.metrics.brier_score_loss(truth, chances, labels=[0, 1, 2], scale_by_half=False)
    assert brier_score(truth, chances) == pytest.approx(theirs)
    assert brier_score(np.array([0, 1]), np.eye(2)) == 0.0
    assert brier_score(np.array([1, 0]), np.eye(2)) == 2.0


def test_reliability_is_sklearns_curve() -> None:
    truth, chances = drawn(400)
    confidences, right = chances.max(axis=1), chances.argmax(axis=1) == truth
    accuracy, confidence = sklearn.calibration.calibration_curve(right, confidences, n_bins=10)
    found = [one for one in reliability(confidences, right) if one.count]
    assert [one.accuracy for one in found] == pytest.approx(accuracy.tolist())
    assert [one.confidence for one in found] == pytest.approx(confidence.tolist())
    assert sum(one.count for one in found) == 400


@given(answers, st.integers(1, 12))
def test_the_error_is_the_mean_gap_counted_one_by_one(given: list[tuple[float, bool]], num_bins: int) -> None:
    edges = np.linspace(0, 1, num_bins + 1)
    total = 0.0
    for at in range(num_bins):
        low = -1.0 if at == 0 else edges[at]
        inside = [(chance, right) for chance, right in given if low < chance <= edges[at + 1]]
        if inside:
            total += abs(sum(right for _, right in inside) - sum(chance for chance, _ in inside))
    chances, right = (np.array(column) for column in zip(*given, strict=True))
    found = expected_calibration_error(chances.astype(float), right.astype(bool), num_bins=num_bins)
    assert found == pytest.approx(total / len(given))


def test_by_hand() -> None:
    """Four answers with 90 %, three of them right, and one with 50 %, which is wrong: (4 * 0.15 + 0.5) / 5."""
    chances, right = np.array([0.9, 0.9, 0.9, 0.9, 0.5]), np.array([True, True, True, False, False])
    assert expected_calibration_error(chances, right) == pytest.approx(0.22)


def test_invalid_probabilities_are_refused() -> None:
    with pytest.raises(InputError, match="not between 0 and 1"):
        reliability(np.array([1.5]), np.array([True]))
    with pytest.raises(InputError, match="2 samples have 1 probabilities"):
        reliability(np.array([0.5]), np.array([True, False]))
    with pytest.raises(InputError, match="no samples"):
        brier_score(np.array([], dtype=np.int64), np.zeros((0, 2)))
    with pytest.raises(ConfigError, match="num_bins is 0"):
        reliability(np.array([0.5]), np.array([True]), num_bins=0)
