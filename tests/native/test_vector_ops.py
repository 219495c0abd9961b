"""Norms, activations and rotation of the native library, on every instruction set, against float64 and torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native import doors

pytestmark = pytest.mark.skipif(not doors.isas(), reason="the native library is not built (native/build.py)")
every_isa = pytest.mark.parametrize("isa", doors.isas())


def numbers(size, seed=0, spread=1.0):
    return (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)


@every_isa
@given(size=st.integers(1, 130), seed=st.integers(0, 99), shift=st.sampled_from([0.0, 100.0]))
@settings(max_examples=15)
def test_norms(isa, size, seed, shift):
    x, weight, bias = numbers(size, seed) + np.float32(shift), numbers(size, seed + 1), numbers(size, seed + 2)
    wide = x.astype(np.float64)
    rms = wide / np.sqrt((wide**2).mean() + 1e-5) * weight
    np.testing.assert_allclose(doors.normalize(isa, "rms", x, weight), rms, rtol=1e-5, atol=1e-6)
    centred = wide - wide.mean()
    normal = centred / np.sqrt((centred**2).mean() + 1e-5) * weight
    # A mean of 100 leaves 2^-17 of each float32 number.
    within = {"rtol": 1e-5, "atol": 2e-6 + 3e-5 * (shift > 0)}
    if size > 1:
        np.testing.assert_allclose(doors.normalize(isa, "layer", x, weight, bias), normal + bias, **within)
        np.testing.assert_allclose(doors.normalize(isa, "layer", x, weight), normal, **within)


def reference(activation, x):
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "gelu":
        return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    if activation == "gelu_tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / (1 + np.exp(-x))


@every_isa
@pytest.mark.parametrize("activation", doors.ACTIVATIONS)
@pytest.mark.parametrize("size", [1, 15, 16, 2001])
def test_activations(isa, activation, size):
    x = np.concatenate([np.linspace(-12, 12, size), numbers(size, 3)]).astype(np.float32)[:size]
    up = numbers(size, 4)
    expected = reference(activation, x.astype(np.float64))
    np.testing.assert_allclose(doors.activate(isa, activation, x), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(doors.activate(isa, activation, x, up), expected * up, rtol=1e-6, atol=4e-6)


@every_isa
@pytest.mark.parametrize("activation", doors.ACTIVATIONS)
def test_activations_of_huge_numbers_and_of_none(isa, activation):
    x = np.array([1e4, -1e4, 3e38, -3e38, 0.0, np.nan], np.float32)
    got = doors.activate(isa, activation, x)
    np.testing.assert_allclose(got[:5], [1e4, 0, 3e38, 0, 0], rtol=1e-6, atol=1e-6)
    assert np.isnan(got[5])


@every_isa
def test_exponentials_are_within_two_units_in_the_last_place(isa):
    # silu of x times (1 + e^-x) / x = 1: so e^-x = x / silu(x) - 1, where it is large.
    x = -np.linspace(20, 80, 5001).astype(np.float32)
    got = x / doors.activate(isa, "silu", x).astype(np.float64)
    assert np.abs(got / np.exp(-x.astype(np.float64)) - 1).max() < 4 * 2.0**-24 + 2.0**-23


@every_isa
@pytest.mark.parametrize("channels", [2, 8, 48, 64, 128])
def test_rotation_is_that_of_torch(isa, channels):
    head, angles = numbers(channels, 5), numbers(channels // 2, 6)
    cosines, sines = np.cos(angles), np.sin(angles)
    first, second = torch.from_numpy(head).chunk(2)
    both = torch.from_numpy(head) * torch.from_numpy(cosines).repeat(2)
    expected = both + torch.cat((-second, first)) * torch.from_numpy(sines).repeat(2)
    assert np.array_equal(doors.rotate(isa, head, cosines, sines), expected.numpy())
