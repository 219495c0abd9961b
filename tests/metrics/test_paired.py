"""Paired tests against scipy and by closed testing."""

from __future__ import annotations

import itertools

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from lavra.metrics.paired import holm, mcnemar_exact


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
    """Holm (1979): closed testing by Bonferroni over every set that includes the hypothesis."""
    number = len(p_values)
    sets = [one for size in range(1, number + 1) for one in itertools.combinations(range(number), size)]
    return [
        max(min(1.0, len(one) * min(p_values[j] for j in one)) for one in sets if index in one)
        for index in range(number)
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_is_closed_bonferroni(p_values) -> None:
    assert holm(p_values) == pytest.approx(naive_holm(p_values))
