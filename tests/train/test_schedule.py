"""Schedules against their closed forms, and properties of every setting."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.train.schedule import ScheduleConfig, learning_rate_scale

kinds = st.sampled_from(["wsd", "cosine", "constant"])
shares = st.floats(0, 0.5)


def curve(config, num_steps):
    return [learning_rate_scale(config, step, num_steps) for step in range(num_steps)]


@given(kind=kinds, warmup=shares, decay=shares, final=st.floats(0, 1), num_steps=st.integers(1, 300))
def test_always_positive_rises_then_never_rises_again(kind, warmup, decay, final, num_steps):
    scales = curve(ScheduleConfig(kind=kind, warmup=warmup, decay=decay, final=final), num_steps)
    assert all(0 < scale <= 1 for scale in scales)
    top = scales.index(max(scales))
    assert scales[: top + 1] == sorted(scales[: top + 1])
    assert all(later <= earlier + 1e-12 for earlier, later in zip(scales[top:], scales[top + 1 :], strict=False))
    assert min(scales[top:]) >= final - 1e-12


@given(kind=kinds, warmup=shares, decay=shares, num_steps=st.integers(4, 300))
def test_the_peak_is_reached_right_after_the_warm_up(kind, warmup, decay, num_steps):
    config = ScheduleConfig(kind=kind, warmup=warmup, decay=decay)
    warm = round(warmup * num_steps)
    assert learning_rate_scale(config, warm, num_steps) == 1.0
    assert curve(config, num_steps)[:warm] == pytest.approx([(step + 1) / (warm + 1) for step in range(warm)])


def test_cosine_is_its_closed_form():
    config = ScheduleConfig(kind="cosine", warmup=0.1, final=0.1)
    for step in range(20, 200):
        expected = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 20) / 180))
        assert learning_rate_scale(config, step, 200) == pytest.approx(expected)


def test_wsd_is_its_closed_form():
    config = ScheduleConfig(kind="wsd", warmup=0.1, decay=0.3, final=0.2)
    expected = [(step + 1) / 11 for step in range(10)] + [1.0] * 60
    expected += [1 - 0.8 * step / 30 for step in range(30)]
    assert curve(config, 100) == pytest.approx(expected)


def test_constant_stays():
    assert curve(ScheduleConfig(kind="constant", warmup=0.0), 5) == [1.0] * 5


@pytest.mark.parametrize(
    "settings", [{"warmup": -0.1}, {"decay": 1.2}, {"final": 2.0}, {"warmup": 0.6, "decay": 0.6}], ids=str
)
def test_settings_out_of_range_are_named(settings):
    with pytest.raises(ConfigError, match=r"schedule\.\w+"):
        ScheduleConfig(**settings)
