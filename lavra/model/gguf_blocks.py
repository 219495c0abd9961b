"""Blocks of a GGUF file as integers and scales, in the packing of compressed folders; no torch is needed.

    Q8_0, Q5_0, Q4_0, IQ4_NL    a weight is an integer times the scale of its 32: the integers are kept unchanged
    all others                  there is an offset too, or another group: rounded to 8 bits in groups of 32

A scale is float16 in the file and bfloat16 here, which keeps 8 of its 11 binary digits: it moves by 0.4 % at most.
The rounding errors of weights are summed, and the opened model reports them.

The formats are those of llama.cpp's `ggml/src/ggml-common.h`; the `gguf` package makes floats of the second row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s
from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import GgufFile
from lavra.model.gguf_arrays import floats_of, raw_slices
from lavra.model.gguf_config import block_kind
from lavra.model.gguf_library import gguf_library

Bytes = npt.NDArray[np.uint8]
GROUP: Final = 32  # weights that share a scale
_LARGEST: Final = 127  # largest integer that weights are rounded to
_TRIED: Final = 6  # scales of a group whose step is known


@dataclass(frozen=True, kw_only=True)
class IntegerRows:
    """A matrix (N, K) of integers.

    Attributes:
        integers: (N, K * bits / 8) bytes, as `lavra.quantize.packing` packs them.
        scales: (N, K / 32) bfloat16, as bits.
    """

    integers: Bytes
    scales: npt.NDArray[np.uint16]


@dataclass(kw_only=True)
class RoundingError:
    """The sum of the rounding errors of a file's weights.

    Attributes:
        error: sum of the squares of the differences.
        weights: sum of the squares of the weights.
    """

    error: float = 0.0
    weights: float = 0.0

    def add(self, weights: Float32s, rounded: Float32s) -> None:
        """Add the errors of some weights, given their rounded values."""
        difference = (rounded - weights).ravel()
        self.error += float(np.dot(difference, difference))
        self.weights += float(np.dot(weights.ravel(), weights.ravel()))

    @property
    def relative(self) -> float | None:
        """The root of the mean square of the difference over that of the weights; None if no weight was rounded."""
        return float(np.sqrt(self.error / self.weights)) if self.weights else None


def bits_of_block(kind: str) -> int | None:
    """Bits that hold the integers of a block format; None if its weights are not integers times a scale of 32."""
    return _EXACT[kind][0] if kind in _EXACT else None


def stored_integers(file: GgufFile, name: str, bits: int) -> IntegerRows:
    """The stored integers of a tensor.

    Args:
        file: the head of the file.
        name: name of a tensor in a format that `bits_of_block` knows.
        bits: at least the result of `bits_of_block`.

    Raises:
        CheckpointError: a scale is not a finite number.
    """
    _, read = _EXACT[block_kind(file, name).name]
    made = _Made(file, name, bits)
    for start, raw in raw_slices(file, name):
        blocks = raw.reshape(len(raw) * made.groups, -1)
        made.put(start, read(blocks), _leading(blocks))
    return made.rows


def rounded_integers(file: GgufFile, name: str, error: RoundingError) -> IntegerRows:
    """A tensor rounded to 8 bits in groups of 32.

    Args:
        file: the head of the file.
        name: name of a tensor in blocks.
        error: sum of errors, to which this tensor's error is added.

    Raises:
        CheckpointError: a weight is not a finite number, or the block format is unknown.
    """
    kind, made = block_kind(file, name), _Made(file, name, 8)
    for start, raw in raw_slices(file, name):
        groups = floats_of(file, name, raw).reshape(-1, GROUP)
        columns = np.ascontiguousarray(groups.T)  # NumPy is ten times as fast along the first axis
        ends = columns.min(axis=0), columns.max(axis=0)
        scales = _rounded(np.maximum(*np.abs(ends)) / _LARGEST)
        if kind.name in _STEPS:
            steps = _STEPS[kind.name](raw.reshape(-1, gguf_library().GGML_QUANT_SIZES[kind][1]))
            scales = _scales_by_step(ends, steps, scales)
        integers = np.rint(groups / _not_zero(scales)[:, None])
        np.clip(integers, -_LARGEST, _LARGEST, out=integers)  # bfloat16 is coarse where numbers are tiny
        made.put(start, integers, scales)
        error.add(groups, integers * scales[:, None])
    return made.rows


def _scales_by_step(ends: tuple[Float32s, Float32s], steps: Float32s, otherwise: Float32s) -> Float32s:
    """Scales (M,) of groups whose weights are a * step + b with whole a, for one b of each group.

    With the scale step / k, k a whole number, rounding moves all weights of a group by one amount: from b to the next
    multiple of the scale.  The k with the smallest amount is chosen, computed for the ends of the group, with the
    bfloat16 of step / k.

    Args:
        ends: (M,) smallest and largest weight of each group.
        steps: (M,) step of each group.
        otherwise: (M,) scales for groups without such a k, for instance groups of equal weights.
    """
    sizes = np.abs(steps)
    most = np.floor(_LARGEST * sizes / _not_zero(np.maximum(*np.abs(ends))))
    best, least = otherwise, np.full_like(sizes, np.inf)
    for k in (most - fewer for fewer in range(_TRIED)):
        scales = _rounded(sizes / np.maximum(k, 1))
        divisors = _not_zero(scales)
        moved = sum(np.abs(np.rint(end / divisors) * scales - end) for end in ends)
        better = (k >= 1) & (moved < least)
        best, least = np.where(better, scales, best), np.where(better, moved, least)
    return best


class _Made:
    """The rows of a matrix, filled slice by slice."""

    def __init__(self, file: GgufFile, name: str, bits: int) -> None:
        rows, columns = file.tensors[name].shape
        self.groups = columns // GROUP
        self.rows = IntegerRows(
            integers=np.empty((rows, columns * bits // 8), dtype=np.uint8),
            scales=np.empty((rows, self.groups), dtype=np.uint16),
        )
        self._bits, self._where = bits, f"{file.path}: tensor {name}"

    def put(self, start: int, integers: npt.NDArray[Any], scales: Float32s) -> None:
        """Groups (M, 32) and their scales (M,) from a row on."""
        if not np.isfinite(scales).all():
            raise CheckpointError(f"{self._where} has a weight that is not a finite number; fetch the file again")
        end = start + len(integers) // self.groups
        self.rows.integers[start:end] = _packed(integers, self._bits).reshape(end - start, -1)
        self.rows.scales[start:end] = _bfloat16(scales).reshape(end - start, -1)


def _packed(integers: npt.NDArray[Any], bits: int) -> Bytes:
    """(M, 32) integers -> (M, 4 * bits) bytes: 128 or 8 added, of four bits the even inputs low."""
    shifted: Bytes = (integers.astype(np.int16) + (1 << bits - 1)).astype(np.uint8)
    return shifted if bits == 8 else shifted[:, 0::2] | (shifted[:, 1::2] << np.uint8(4))


def _bfloat16(values: Float32s) -> npt.NDArray[np.uint16]:
    """The nearest bfloat16 numbers to finite numbers, as bits; ties to even."""
    wide = values.view(np.uint32)
    return ((wide + 0x7FFF + ((wide >> 16) & 1)) >> 16).astype(np.uint16)


def _rounded(values: Float32s) -> Float32s:
    """The nearest bfloat16 numbers."""
    return (_bfloat16(values).astype(np.uint32) << 16).view(np.float32)


def _not_zero(values: Float32s) -> Float32s:
    """Divisors: replace zeros by 1."""
    return np.where(values == 0, np.float32(1), values)


def _leading(blocks: Bytes) -> Float32s:
    """(M,) float16 numbers that blocks begin with: their scales, or steps."""
    return blocks[:, :2].copy().view("<f2").astype(np.float32)[:, 0]


def _nibbles(packed: Bytes) -> Bytes:
    """(M, 16) bytes -> (M, 32): the low halves, then the high halves."""
    return np.concatenate((packed & 15, packed >> 4), axis=1)


def _q8_0(blocks: Bytes) -> npt.NDArray[np.int8]:
    return blocks[:, 2:].view(np.int8)


def _q5_0(blocks: Bytes) -> npt.NDArray[np.int8]:
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little") << 4
    return (_nibbles(blocks[:, 6:]) | fifth).astype(np.int8) - np.int8(16)


def _q4_0(blocks: Bytes) -> npt.NDArray[np.int8]:
    return _nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8)


def _iq4_nl(blocks: Bytes) -> npt.NDArray[np.int8]:
    values = np.array(gguf_library().quants.IQ4_NL.kvalues, dtype=np.int8)
    return values[_nibbles(blocks[:, 2:])]


def _k_steps(blocks: Bytes) -> Float32s:
    """The steps of Q4_K and Q5_K, whose 256 weights have eight scales in 6 bits and one scale for these."""
    scales, _ = gguf_library().quants.Q4_K.get_scale_min(blocks[:, 4:16])
    steps: Float32s = (_leading(blocks)[:, None] * scales).ravel()
    return steps


_EXACT: Final[Mapping[str, tuple[int, Callable[[Bytes], npt.NDArray[np.int8]]]]] = {
    "Q8_0": (8, _q8_0),
    "Q5_0": (8, _q5_0),
    "Q4_0": (4, _q4_0),
    "IQ4_NL": (8, _iq4_nl),
}
_STEPS: Final[Mapping[str, Callable[[Bytes], Float32s]]] = {
    "Q4_1": _leading,
    "Q5_1": _leading,
    "Q4_K": _k_steps,
    "Q5_K": _k_steps,
}
"""Of formats with an offset for each 32 weights: (M, size) blocks -> the steps between weights, (groups,)."""
