"""Rounding and packing: against the definition, and against compressed-tensors' own code."""

import numpy as np
import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import CheckpointError, ConfigError
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.packing import from_words, pack, to_words, unpack
from lavra.quantize.rounding import choose_scales, round_inputs, to_integers, to_weight
from lavra.quantize.scheme import SCHEMES, Scheme, scheme_named


def weights(rows=24, columns=64, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@given(bits=st.sampled_from([4, 8]), rows=st.integers(1, 5), eights=st.integers(1, 9), seed=st.integers(0, 999))
@settings(max_examples=50, deadline=None)
def test_packing_is_undone_and_is_that_of_compressed_tensors(bits, rows, eights, seed):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    draw = torch.Generator().manual_seed(seed)
    integers = torch.randint(low, high, (rows, 8 * eights), generator=draw, dtype=torch.int8)
    packed = pack(integers, bits)
    assert torch.equal(unpack(packed, bits), integers)
    words = to_words(packed)
    assert torch.equal(words, pack_to_int32(integers, bits))
    assert torch.equal(unpack_from_int32(words, bits, integers.shape), integers)
    assert torch.equal(from_words(words, packed.shape[1]), packed)


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_no_weight_is_further_than_half_a_step_unless_it_is_cut_off(name):
    scheme, weight = SCHEMES[name], weights()
    scale = choose_scales(weight, scheme)
    integers = to_integers(weight, scale, scheme)
    error = (to_weight(integers, scale, scheme) - weight).abs()
    step = scale.float().repeat_interleave(64 // scale.shape[1], dim=1)
    inside = (integers > -scheme.largest - 1) & (integers < scheme.largest)
    assert bool((error <= step / 2 * (1 + 1e-5))[inside].all())
    if scheme.bits == 8:  # cut off by what the next bfloat16 scale is smaller, 1 in 128 at most
        assert bool((error <= step * (1 + 1e-5)).all())


def test_eight_bits_in_groups_take_the_best_scale_near_the_largest_weight():
    """Against every bfloat16 scale within one step; the scale above the largest weight has a larger error."""
    weight, scheme = weights(64, 64), SCHEMES["int8"]
    exact = weight.unflatten(1, (2, 32)).abs().amax(2) / 127

    def errors(scales):
        off = to_weight(to_integers(weight, scales, scheme), scales, scheme) - weight
        return off.unflatten(1, (2, 32)).square().sum(2)

    above = exact.bfloat16()
    above = torch.where(above.float() < exact, (above.view(torch.int16) + 1).view(torch.bfloat16), above)
    tried = [(above.view(torch.int16) + step).view(torch.bfloat16) for step in (-1, 0, 1)]
    best = torch.stack([errors(scales) for scales in tried]).amin(0)
    found = errors(choose_scales(weight, scheme))
    assert torch.allclose(found, best)
    assert found.sum() < 0.95 * errors(above).sum()


def test_searched_scales_err_less_than_the_whole_range():
    weight, scheme = weights(200, 256), SCHEMES["int4"]
    scale = choose_scales(weight, scheme)
    whole = (weight.unflatten(1, (8, 32)).abs().amax(2) / 7.5).bfloat16()

    def error(scales):
        return (to_weight(to_integers(weight, scales, scheme), scales, scheme) - weight).square().mean()

    assert error(scale) < 0.95 * error(whole)


def test_a_matrix_of_zeros_stays_zero():
    matrix = QuantizedMatrix.of(torch.zeros(3, 64), SCHEMES["int4"])
    assert torch.equal(matrix.dequantized(), torch.zeros(3, 64))
    assert torch.equal(matrix.linear(torch.ones(2, 64)), torch.zeros(2, 3))


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_products_are_those_of_the_stored_weights(name):
    matrix = QuantizedMatrix.of(weights(50, 2560), SCHEMES[name])
    x = weights(7, 2560, seed=1)
    if SCHEMES[name].rounds_inputs:
        rounded, scale = round_inputs(x)
        integers = rounded.numpy().astype(np.int64) @ matrix.integers().numpy().astype(np.int64).T
        exact = integers * scale.double().numpy() * matrix.scale.double().numpy().T
    else:
        exact = x.double().numpy() @ matrix.dequantized().double().numpy().T
    assert np.abs(matrix.linear(x).numpy() - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("columns", [1, 7, 43, 172])
@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_group_may_have_a_rest_only(name, columns):
    weight, scheme = weights(6, columns), SCHEMES[name]
    matrix = QuantizedMatrix.of(weight, scheme)
    size = scheme.group_size or columns
    alone = [QuantizedMatrix.of(part.contiguous(), scheme).dequantized() for part in weight.split(size, dim=1)]
    assert torch.equal(matrix.dequantized(), torch.cat(alone, dim=1))
    assert matrix.integers().shape == weight.shape
    assert matrix.linear(weights(3, columns, seed=2)).shape == (3, 6)


def test_looked_up_rows_are_the_matrix_rows():
    matrix = QuantizedMatrix.of(weights(), SCHEMES["int4"])
    ids = torch.tensor([[3, 0], [23, 3]])
    assert torch.equal(matrix.lookup(ids), matrix.dequantized()[ids])


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match=r"'int-8' is unknown.*int8"):
        scheme_named("int-8")
    with pytest.raises(ConfigError, match="bits is 3"):
        Scheme(name="int3", bits=3)
    with pytest.raises(CheckpointError, match="not a finite number"):
        choose_scales(torch.full((2, 64), float("nan")), SCHEMES["int8"])
