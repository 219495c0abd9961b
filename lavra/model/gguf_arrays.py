"""Tensors of a GGUF file as arrays of float32, from any block format; no torch is needed.

A tensor is read from the mapped file and dequantized in slices of rows, so the peak is the tensor and a slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s
from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import GgufFile, GgufTensor
from lavra.model.families.gguf_rope import FACTORS
from lavra.model.gguf_config import block_kind
from lavra.model.gguf_library import gguf_library
from lavra.model.gguf_names import Planned

_SLICE: Final = 1 << 19  # numbers dequantized at once: 2 MB, and a few times that on the way
_UNUSED: Final = (FACTORS, "rope_factors_long.weight", "rope_factors_short.weight")
_SHOWN: Final = 3
_MAPPED: Final = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def read_array(file: GgufFile, name: str) -> Float32s:
    """A tensor as float32, from any block format.

    Raises:
        CheckpointError: its block format is unknown, or the file is too short.
    """
    tensor = file.tensors[name]
    found = np.empty(_table(tensor), dtype=np.float32)
    for start, raw in raw_slices(file, name):
        found[start : start + len(raw)] = floats_of(file, name, raw)
    return found.reshape(tensor.shape)


def stored_array(file: GgufFile, name: str) -> tuple[str, npt.NDArray[Any]]:
    """A tensor as floats, in 16 bits if the file has 16 bits: its type (`F32`, `F16`, `BF16`) and its numbers.

    Of bfloat16 the bits, as whole numbers.  Errors as `read_array`.
    """
    kind = block_kind(file, name).name
    if kind not in _MAPPED:
        return "F32", read_array(file, name)
    raw = _rows(file, name)
    return kind, raw.view(_MAPPED[kind]).reshape(file.tensors[name].shape)


def raw_slices(file: GgufFile, name: str) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """The rows of a tensor, some at a time: the number of the first, and their bytes as stored in the file."""
    raw, (_, columns) = _rows(file, name), _table(file.tensors[name])
    step = max(1, _SLICE // max(1, columns))
    for start in range(0, len(raw), step):
        yield start, np.ascontiguousarray(raw[start : start + step])


def floats_of(file: GgufFile, name: str, raw: npt.NDArray[np.uint8]) -> Float32s:
    """Rows of a tensor from their bytes; errors as `read_array`."""
    kind = block_kind(file, name)
    plain = {"F32": np.float32, "F16": np.float16}.get(kind.name)
    try:
        found = gguf_library().quants.dequantize(raw if plain is None else raw.view(plain), kind)
    except NotImplementedError:
        raise CheckpointError(
            f"{file.path}: tensor {name} is in {kind.name}, which the gguf package does not make floats of; take a "
            "file in another block format, such as Q8_0 or Q4_K_M"
        ) from None
    return np.asarray(found, dtype=np.float32)


def _rows(file: GgufFile, name: str) -> npt.NDArray[np.uint8]:
    """The bytes of each row, mapped."""
    tensor = file.tensors[name]
    values, size = gguf_library().GGML_QUANT_SIZES[block_kind(file, name)]
    rows, columns = _table(tensor)
    return np.memmap(file.path, dtype=np.uint8, mode="r", offset=tensor.offset, shape=(rows, columns // values * size))


def _table(tensor: GgufTensor) -> tuple[int, int]:
    """Rows and columns; a vector is one row."""
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    return rows, tensor.num_values // rows


def check_tensors(planned: Sequence[Planned], shapes: Mapping[str, Sequence[int]], file: GgufFile) -> None:
    """Refuse a file with other tensors than the model's, or a truncated file."""
    expected, found = {one.name for one in planned}, set(file.tensors) - set(_UNUSED)
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    for names, what in ((missing, "missing"), (unexpected, "unexpected")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise CheckpointError(
                f"{file.path}: tensors of a {file.architecture} are {what}: {', '.join(names[:_SHOWN])}{more}; "
                "the file is damaged, or of a variant that lavra does not open"
            )
    for one in planned:
        first = shapes[one.ours[0]]
        wanted = (sum(shapes[name][0] for name in one.ours), *first[1:])
        given = file.tensors[one.name].shape
        if given != wanted:
            raise CheckpointError(
                f"{file.path}: tensor {one.name} has shape {list(given)}, expected {list(wanted)}; its settings and "
                "its tensors do not belong together"
            )
        _check_end(one.name, file.tensors[one.name], file)


def _check_end(name: str, tensor: GgufTensor, file: GgufFile) -> None:
    values, size = gguf_library().GGML_QUANT_SIZES[block_kind(file, name)]
    end, there = tensor.offset + tensor.num_values // values * size, file.path.stat().st_size
    if tensor.shape[-1] % values:
        raise CheckpointError(f"{file.path}: tensor {name} has rows of {tensor.shape[-1]}, no multiple of {values}")
    if end > there:
        raise CheckpointError(
            f"{file.path} is truncated: {there:,} bytes, and tensor {name} ends at {end:,}; fetch it again"
        )
