"""Intervals, tests and scores against scipy and scikit-learn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from lavra.prompts.statistics import holm, log_loss, macro_f1, mcnemar_exact, wilson_interval


@pytest.mark.parametrize(("right", "all_"), [(0, 5), (3, 7), (7, 7), (50, 100), (999, 1000), (1, 1)])
def test_the_interval_is_wilsons(right: int, all_: int) -> None:
    theirs = scipy.stats.binomtest(right, all_).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, all_) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_without_samples_anything_is_possible() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(only_first: int, only_second: int) -> None:
    number = only_first + only_second
    expected = scipy.stats.binomtest(only_first, number, 0.5).pvalue if number else 1.0
    assert mcnemar_exact(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand_and_on_many_samples() -> None:
    assert mcnemar_exact(0, 5) == 2 / 32
    assert mcnemar_exact(1, 3) == 2 * (1 + 4) / 16
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(5000, 5400) == pytest.approx(scipy.stats.binomtest(5000, 10400).pvalue, rel=1e-6)


def naive_holm(p_values):
    """Holm (1979): closed testing by Bonferroni over every set that has the hypothesis."""
    number = len(p_values)
    sets = [one for size in range(1, number + 1) for one in itertools.combinations(range(number), size)]
    return [
        max(min(1.0, len(one) * min(p_values[j] for j in one)) for one in sets if index in one)
        for index in range(number)
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_is_closed_bonferroni(p_values) -> None:
    assert holm(p_values) == pytest.approx(naive_holm(p_values))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=30))
def test_macro_f1_is_sklearns(pairs) -> None:
    truth, answers = [one for one, _ in pairs], [other for _, other in pairs]
    named = ["none" if answer is None else answer for answer in answers]  # a class that is not averaged over
    expected = sklearn.metrics.f1_score(truth, named, labels=list("abc"), average="macro", zero_division=0.0)
    assert macro_f1(truth, answers, list("abc")) == pytest.approx(expected)


def test_log_loss_is_sklearns() -> None:
    draw = np.random.default_rng(0)
    chances = draw.dirichlet([1, 1, 1], size=20)
    truth = draw.choice(list("abc"), size=20).tolist()
    ours = log_loss(truth, [dict(zip("abc", row.tolist(), strict=True)) for row in chances])
    assert ours == pytest.approx(sklearn.metrics.log_loss(truth, chances, labels=list("abc")))
    assert log_loss(["a"], [{"a": 0.0, "b": 1.0}]) == math.inf
