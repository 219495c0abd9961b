"""Products of the native runner against NumPy in float64, for every instruction set of this machine."""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest

from lavra.base.native_library import NativeTensor

LIBRARY = Path(os.environ.get("LAVRA_NATIVE", Path(__file__).parents[2] / "lavra" / "lavra_native.so"))
pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the native library is not built: python native/build.py")

F32, F16, BF16, INT8, INT4, INT8_A16 = range(6)
WIDE = {INT8: {"avx2"}, INT8_A16: {"avx2", "avxvnni", "avx512"}}  # whose products have inputs of 16 bits
SHAPES = [(1, 8, 1), (16, 32, 2), (17, 33, 5), (48, 96, 7), (100, 200, 13), (33, 576, 40), (130, 64, 16), (5, 1000, 3)]


@pytest.fixture(scope="module")
def library():
    opened = ctypes.CDLL(str(LIBRARY))
    opened.lavra_isas.restype = opened.lavra_error.restype = ctypes.c_char_p
    return opened


@pytest.fixture(params=["avx512", "avxvnni", "avx2", "neon", "portable"])
def isa(request, library):
    if request.param not in library.lavra_isas().decode().split(","):
        pytest.skip(f"no {request.param} on this machine")
    return request.param


class Weights:
    """A tensor in a checkpoint's form, and its values in float64."""

    def __init__(self, kind, rows, columns, group, random):
        self.kind, self.rows, self.columns, self.group = kind, rows, columns, group
        self.scales = np.zeros(0, np.uint16)
        if kind in (INT8, INT4, INT8_A16):
            self._integers(random)
            return
        floats = random.standard_normal((rows, columns)).astype(np.float32)
        self.data = {F32: floats, F16: floats.astype(np.float16), BF16: to_bfloat16(floats)}[kind]
        self.values = (from_bfloat16(self.data) if kind == BF16 else self.data).astype(np.float64)

    def _integers(self, random):
        half = 8 if self.kind == INT4 else 128
        multiple = self.group or (8 if self.kind == INT4 else 1)
        padded = -(-self.columns // multiple) * multiple
        integers = random.integers(-half, half, (self.rows, padded))
        integers[:, self.columns :] = 0
        stored = (integers + half).astype(np.uint8)
        self.data = stored[:, 0::2] | stored[:, 1::2] << 4 if self.kind == INT4 else stored
        groups = -(-self.columns // self.group) if self.group else 1
        self.scales = to_bfloat16(random.uniform(0.001, 0.02, (self.rows, groups)).astype(np.float32))
        each = np.repeat(from_bfloat16(self.scales).astype(np.float64), self.group or self.columns, axis=1)
        self.values = (integers[:, : self.columns] * each[:, : self.columns]).astype(np.float64)

    def times(self, library, isa, inputs, precision=BF16, rows=slice(None)):
        data, scales = np.ascontiguousarray(self.data[rows]), np.ascontiguousarray(self.scales[rows])
        inputs = np.ascontiguousarray(inputs)
        tensor = NativeTensor(
            self.kind,
            len(data),
            self.columns,
            self.group,
            data.ctypes.data,
            data.nbytes,
            scales.ctypes.data,
            scales.nbytes,
        )
        out = np.full((len(inputs), len(data)), np.nan, np.float32)
        code = library.lavra_linear(
            isa.encode(),
            ctypes.byref(tensor),
            precision,
            ctypes.c_void_p(inputs.ctypes.data),
            len(inputs),
            ctypes.c_void_p(out.ctypes.data),
        )
        assert code == 0, library.lavra_error()
        return out


def to_bfloat16(x):
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bfloat16(x):
    return (x.astype(np.uint32) << 16).view(np.float32)


def rounded_inputs(x, most):
    """Inputs as integer products round them, in groups of 32: `most` is the largest integer."""
    m, columns = x.shape
    groups = np.pad(x, ((0, 0), (0, -columns % 32))).reshape(m, -1, 32)
    largest = np.abs(groups).max(axis=2, keepdims=True)
    by = np.divide(np.float32(most), largest, out=np.zeros_like(largest), where=largest > 0)
    return (np.rint(groups * by) * (largest / np.float32(most)).astype(np.float64)).reshape(m, -1)[:, :columns]


def expected(weights, inputs, precision, isa):
    if weights.kind in (INT8, INT4, INT8_A16) and weights.group % 32 == 0:
        return rounded_inputs(inputs, 32767 if isa in WIDE.get(weights.kind, ()) else 127), weights.values
    if precision == BF16:
        return tuple(
            from_bfloat16(to_bfloat16(x.astype(np.float32))).astype(np.float64) for x in (inputs, weights.values)
        )
    return inputs.astype(np.float64), weights.values.astype(np.float32).astype(np.float64)


KINDS = [
    (F32, 0, F32),
    (F32, 0, BF16),
    (F16, 0, F32),
    (BF16, 0, F32),
    (BF16, 0, BF16),
    (INT8, 0, BF16),
    (INT8, 32, BF16),
]
KINDS += [
    (INT8, 96, BF16),
    (INT8, 8, F32),
    (INT8, 24, BF16),
    (INT4, 0, BF16),
    (INT4, 32, BF16),
    (INT4, 64, BF16),
    (INT4, 8, BF16),
    (INT8_A16, 0, BF16),
    (INT8_A16, 32, BF16),
    (INT8_A16, 96, BF16),
    (INT8_A16, 8, F32),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("kind", "group", "precision"), KINDS)
def test_products_are_numpys(library, isa, kind, group, precision, shape):
    rows, columns, m = shape
    random = np.random.default_rng(rows * columns + m)
    weights = Weights(kind, rows, columns, group, random)
    inputs = random.standard_normal((m, columns)).astype(np.float32)
    inputs[0, columns // 2] = 1000.0
    inputs[m // 2] = 0
    x, w = expected(weights, inputs, precision, isa)
    out = weights.times(library, isa, inputs, precision)
    bound = (columns + 8) * 2.0**-24 * (np.abs(x) @ np.abs(w).T)  # a chain of roundings, each by half of the last bit
    assert (np.abs(out - x @ w.T) <= bound).all()
    assert (out[m // 2] == 0).all()


@pytest.mark.parametrize(("kind", "group", "precision"), KINDS)
def test_bits_depend_on_no_other_row_and_no_other_output(library, isa, kind, group, precision):
    random = np.random.default_rng(7)
    weights = Weights(kind, 200, 352, group, random)
    inputs = random.standard_normal((40, 352)).astype(np.float32)
    whole = weights.times(library, isa, inputs, precision)
    for m in (*range(1, 18), 23, 31, 32, 33):
        first = int(random.integers(0, 41 - m))
        assert (weights.times(library, isa, inputs[first : first + m], precision) == whole[first : first + m]).all(), m
    for first, last in ((0, 16), (16, 48), (48, 200), (64, 65), (112, 200), (0, 144)):
        part = weights.times(library, isa, inputs[:9], precision, rows=slice(first, last))
        assert (part == whole[:9, first:last]).all(), (first, last)


@pytest.mark.parametrize(("kind", "group"), [(INT8, 32), (INT8, 0), (INT8_A16, 32), (INT4, 32), (BF16, 0)])
def test_all_instruction_sets_have_the_same_bits(library, isa, kind, group):
    random = np.random.default_rng(3)
    weights = Weights(kind, 100, 500, group, random)
    inputs = (random.standard_normal((11, 500)) * np.exp(random.standard_normal((11, 500)))).astype(np.float32)
    # Sums of integers are exact; products of two bfloat16 are, so that it is all the same whether they are fused.
    other = "avx2" if isa in WIDE.get(kind, ()) else "portable"  # which rounds these inputs alike
    assert (weights.times(library, isa, inputs) == weights.times(library, other, inputs)).all()


@pytest.mark.parametrize(
    ("kind", "integer"), [(INT8, -128), (INT8, 127), (INT8_A16, -128), (INT8_A16, 127), (INT4, -8), (INT4, 7)]
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_integers_do_not_overflow(library, isa, kind, integer, sign):
    weights = Weights(kind, 32, 256, 32, np.random.default_rng(0))
    half = 8 if kind == INT4 else 128
    weights.data[:] = (integer + half) * 17 if kind == INT4 else integer + half
    weights.scales[:] = to_bfloat16(np.ones(1, np.float32))
    out = weights.times(library, isa, np.full((7, 256), sign * 127, np.float32))
    assert (out == sign * 127 * integer * 256).all()


@pytest.mark.parametrize(
    ("kind", "precision"), [(F32, F32), (BF16, BF16), (INT8, BF16), (INT8_A16, BF16), (INT4, BF16)]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_numbers_stay_in_their_own_row(library, isa, kind, precision, bad):
    weights = Weights(kind, 40, 70, 0, np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((9, 70)).astype(np.float32)
    clean = weights.times(library, isa, inputs, precision)
    inputs[4, 33] = bad
    out = weights.times(library, isa, inputs, precision)
    assert not np.isfinite(out[4]).any()
    assert (np.delete(out, 4, 0) == np.delete(clean, 4, 0)).all()


@pytest.mark.parametrize("kind", [INT8, INT4, INT8_A16])
def test_inputs_too_small_for_a_scale_are_zero(library, isa, kind):
    weights = Weights(kind, 16, 64, 32, np.random.default_rng(0))
    assert (weights.times(library, isa, np.full((2, 64), 1e-39, np.float32)) == 0).all()
