"""Blocks of GGUF files as integers and scales, against the floats of the `gguf` package."""

import gguf
import numpy as np
import pytest
import torch

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import read_gguf
from lavra.model.gguf_blocks import RoundingError, bits_of_block, rounded_integers, stored_integers
from lavra.quantize.packing import unpack
from tests.model.test_gguf_checkpoint import blocks, write

EXACT = ("Q8_0", "Q5_0", "Q4_0", "IQ4_NL")
OTHERS = ("Q4_1", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "IQ2_XXS", "IQ3_S", "TQ2_0")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file with one tensor of random blocks, and the floats of these blocks."""
    monkeypatch.setattr("lavra.model.gguf_arrays._SLICE", 1024)  # several slices a tensor

    def make(name):
        kind = gguf.GGMLQuantizationType[name]
        raw = blocks(kind, 7, 512)
        write(tmp_path / "x.gguf", tensors={"some": (raw, kind)})
        return read_gguf(tmp_path / "x.gguf"), gguf.quants.dequantize(raw, kind)

    return make


def floats(rows, bits):
    """Floats of integers and scales, computed by torch."""
    scales = torch.from_numpy(rows.scales.view(np.int16)).view(torch.bfloat16).double()
    integers = unpack(torch.from_numpy(rows.integers), bits).double()
    return (integers.view(len(integers), -1, 32) * scales[:, :, None]).flatten(1).numpy()


@pytest.mark.parametrize("name", EXACT)
def test_integers_are_taken_as_they_are(name, file):
    head, expected = file(name)
    bits = bits_of_block(name)
    found = floats(stored_integers(head, "some", bits), bits)
    assert np.all(np.abs(found - expected) <= np.abs(expected) * 2**-7.99)  # a scale of 11 digits gets 8
    assert np.array_equal(floats(stored_integers(head, "some", 8), 8), found)  # wider holds the same


@pytest.mark.parametrize("name", OTHERS)
def test_other_blocks_are_rounded_and_the_error_is_reported(name, file):
    head, expected = file(name)
    assert bits_of_block(name) is None
    error = RoundingError()
    found = floats(rounded_integers(head, "some", error), 8)
    groups = np.abs(expected.astype(np.float64)).reshape(7, -1, 32).max(axis=2).repeat(32, axis=1)
    most = 2.1 if name in ("Q4_1", "Q5_1", "Q4_K", "Q5_K") else 0.503  # steps: those have a coarser scale
    assert np.all(np.abs(found - expected) <= groups / 127 * most)
    difference, size = (np.square(one.astype(np.float64)).sum() for one in (found - expected, expected))
    assert error.relative == pytest.approx(np.sqrt(difference / size), rel=1e-5)
    assert 0 < error.relative < 0.01


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_scale_that_is_no_number_is_refused(tmp_path):
    kind = gguf.GGMLQuantizationType.Q8_0
    raw = blocks(kind, 2, 64)
    raw[1, 1] = 0x7C  # a float16 beyond all numbers
    write(tmp_path / "x.gguf", tensors={"some": (raw, kind)})
    with pytest.raises(CheckpointError, match="tensor some has a weight that is not a finite number"):
        stored_integers(read_gguf(tmp_path / "x.gguf"), "some", 8)
    with pytest.raises(CheckpointError, match="tensor some has a weight that is not a finite number"):
        rounded_integers(read_gguf(tmp_path / "x.gguf"), "some", RoundingError())


def test_zeros_stay_zeros(tmp_path):
    kind = gguf.GGMLQuantizationType.Q4_1
    write(tmp_path / "x.gguf", tensors={"some": (np.zeros((2, 40), dtype=np.uint8), kind)})
    error = RoundingError()
    found = rounded_integers(read_gguf(tmp_path / "x.gguf"), "some", error)
    assert np.all(floats(found, 8) == 0)
    assert error.relative is None
