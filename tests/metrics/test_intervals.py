"""Intervals: against scipy's, and properties of every interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    score_intervals,
    share_interval,
    wilson_interval,
)


@given(
    st.integers(1, 400).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))),
    st.sampled_from([0.8, 0.95]),
)
def test_the_exact_interval_is_scipys(counts: tuple[int, int], level: float) -> None:
    found = share_interval(*counts, level=level)
    theirs = stats.binomtest(*counts).proportion_ci(confidence_level=level, method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_exact_interval_of_many_trials() -> None:
    found = share_interval(61_000, 67_349)
    theirs = stats.binomtest(61_000, 67_349).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-8)


@pytest.mark.parametrize(("right", "all_"), [(0, 5), (3, 7), (7, 7), (50, 100), (999, 1000), (1, 1)])
def test_the_interval_is_wilsons(right: int, all_: int) -> None:
    theirs = stats.binomtest(right, all_).proportion_ci(0.95, method="wilson")
    found = wilson_interval(right, all_)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_without_samples_anything_is_possible() -> None:
    assert wilson_interval(0, 0) == Interval(low=0.0, high=1.0)
    with pytest.raises(ConfigError, match="level is 2"):
        wilson_interval(1, 2, level=2)


def test_the_bootstrap_is_close_to_scipys_and_to_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    found = mean_interval(values, resamples=2000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=2000, random_state=2
    ).confidence_interval
    width = 2 * 1.96 * values.std() / math.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)
    assert found.high - found.low == pytest.approx(width, rel=0.08)


def test_draws_are_by_seed() -> None:
    values = np.arange(30, dtype=np.float64)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_the_interval_lies_within_the_values_and_moves_with_them(values: list[float]) -> None:
    array = np.array(values)
    found = mean_interval(array, resamples=50)
    assert min(values) - 1e-6 <= found.low <= found.high <= max(values) + 1e-6
    moved = mean_interval(array + 1.0, resamples=50)
    assert (moved.low, moved.high) == pytest.approx((found.low + 1.0, found.high + 1.0), rel=1e-9, abs=1e-6)


def test_two_systems_on_the_same_samples_differ_though_their_own_intervals_meet() -> None:
    hard = np.random.default_rng(0).normal(size=200)
    first, second = hard + 0.1, hard
    assert difference_interval(first, second).low == pytest.approx(0.1)
    assert mean_interval(first).low < mean_interval(second).high
    with pytest.raises(InputError, match="200 and 199 samples"):
        difference_interval(first, second[:-1])


def test_undefined_scores_are_counted() -> None:
    def scores(taken: np.ndarray) -> dict[str, float]:
        return {"all": math.nan, "some": math.nan if taken[0] == 0 else 1.0, "none": 2.0}

    found = score_intervals(scores, 2, resamples=100)
    assert (found["none"].num_undefined, found["all"].num_undefined) == (0, 100)
    assert 0 < found["some"].num_undefined < 100
    assert (found["some"].low, found["some"].high) == (1.0, 1.0)
    assert math.isnan(found["all"].low)
    assert str(found["none"]) == "[2.0000, 2.0000]"


def test_settings_out_of_range_are_refused() -> None:
    values = np.ones(3)
    with pytest.raises(ConfigError, match="resamples is 0"):
        mean_interval(values, resamples=0)
    with pytest.raises(ConfigError, match=r"level is 1\.0"):
        share_interval(1, 2, level=1.0)
    with pytest.raises(InputError, match="there are 0 samples"):
        mean_interval(values[:0])
    with pytest.raises(InputError, match="3 of 2 is not a share"):
        share_interval(3, 2)
