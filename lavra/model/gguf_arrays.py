"""Tensors of a GGUF file as arrays of float32, whatever blocks they are kept in; no torch is needed.

A tensor is read from the mapped file and dequantized in slices of rows, so the peak is the tensor and a slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

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


def read_array(file: GgufFile, name: str) -> Float32s:
    """One tensor as float32, whatever it is kept in.

    Raises:
        CheckpointError: its block format is unknown, or the file ends before it does.
    """
    tensor = file.tensors[name]
    kind = block_kind(file, name)
    values, size = gguf_library().GGML_QUANT_SIZES[kind]
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    blocks = tensor.num_values // rows // values
    raw = np.memmap(file.path, dtype=np.uint8, mode="r", offset=tensor.offset, shape=(rows, blocks * size))
    found = np.empty((rows, tensor.num_values // rows), dtype=np.float32)
    step = max(1, _SLICE // max(1, found.shape[1]))
    try:
        for start in range(0, rows, step):
            slice_of = np.ascontiguousarray(raw[start : start + step])
            found[start : start + step] = _floats(slice_of, kind)
    except NotImplementedError:
        raise CheckpointError(
            f"{file.path}: tensor {name} is in {kind.name}, which the gguf package does not make floats of; take a "
            "file in another block format, such as Q8_0 or Q4_K_M"
        ) from None
    return found.reshape(tensor.shape)


def _floats(rows: Any, kind: Any) -> Any:
    """Rows of bytes as rows of numbers."""
    plain = {"F32": np.float32, "F16": np.float16}.get(kind.name)
    return np.array(
        gguf_library().quants.dequantize(rows if plain is None else rows.view(plain), kind), dtype=np.float32
    )


def check_tensors(planned: Sequence[Planned], shapes: Mapping[str, Sequence[int]], file: GgufFile) -> None:
    """Refuse a file whose tensors are not exactly the model's, or whose end is missing."""
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
