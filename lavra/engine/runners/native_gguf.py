"""A GGUF file as tensors for the native runner: its blocks as integers, or dequantized to floats.

Matrices of a shared product (queries, keys and values; gate and up) lie in one packed matrix and have one type:

    all Q4_0                          int4, unchanged
    blocks, such as Q8_0 and Q4_0     int8: unchanged, or rounded if they are not integers (`gguf_blocks.py`)
    F32, F16 or BF16 among them       floats

Vectors, positions and token types are floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from lavra.base.gguf_file import GgufFile, read_gguf
from lavra.engine.runners.native_floats import Array, NativeWeights, check_config, float_tensor
from lavra.engine.runners.native_model import StoredTensor, TensorType
from lavra.model.gguf_arrays import check_tensors, stored_array
from lavra.model.gguf_blocks import GROUP, RoundingError, bits_of_block, rounded_integers, stored_integers
from lavra.model.gguf_config import PLAIN, block_format, block_kind, load_gguf_config
from lavra.model.gguf_names import Planned, plan_tensors
from lavra.model.shapes import TensorShape, parameter_shapes

_TOGETHER: Final = re.compile(r"(?<=attention)\.(query|key|value)\b|(?<=feed_forward)\.(gate|up)\b")
_TYPES: Final = {8: TensorType.INT8_A16, 4: TensorType.INT4}


def gguf_weights(path: Path, *, as_floats: bool) -> NativeWeights:
    """Open a GGUF file; the numbers of matrices are not read yet.

    Args:
        path: path of the file.
        as_floats: whether its blocks become float32.

    Raises:
        CheckpointError: the file is damaged or incomplete, as for `lavra.model.gguf_checkpoint.load_gguf`.
        NotNativeError: only torch computes the model.
    """
    config, file = load_gguf_config(path), read_gguf(path)
    check_config(config)
    shapes = parameter_shapes(config)
    planned = plan_tensors(config, list(shapes))
    check_tensors(planned, shapes, file)
    bits = {} if as_floats else _bits(planned, shapes, file)
    error = RoundingError()

    def read() -> Iterator[StoredTensor]:
        for one in planned:
            yield from _tensors(one, shapes, file, bits.get(one.name), error)

    kind = block_format(file)
    return NativeWeights(
        config=config,
        stored=PLAIN.get(kind, kind),
        packed=bool(bits),
        read=read,
        held=_held(planned, shapes, bits),
        rounding=error,
    )


def _bits(planned: Sequence[Planned], shapes: Mapping[str, TensorShape], file: GgufFile) -> dict[str, int]:
    """Bits of the integers of each tensor that is held in integers, by its name in the file."""
    products: dict[str, list[Planned]] = {}
    for one in planned:
        if _is_matrix(one, shapes):
            products.setdefault(_TOGETHER.sub("", one.ours[0]), []).append(one)
    found = {}
    for parts in products.values():
        kinds = {block_kind(file, one.name).name for one in parts}
        if not kinds & PLAIN.keys():
            widest = max(bits_of_block(kind) or 8 for kind in kinds)
            found.update({one.name: widest for one in parts})
    return found


def _is_matrix(one: Planned, shapes: Mapping[str, TensorShape]) -> bool:
    """Whether the native runner multiplies by a tensor, or looks up rows of tokens in it."""
    return len(shapes[one.ours[0]]) == 2 and not one.whole


def _held(planned: Sequence[Planned], shapes: Mapping[str, TensorShape], bits: Mapping[str, int]) -> str:
    found = {f"int{bits[one.name]}" if one.name in bits else "floats" for one in planned if _is_matrix(one, shapes)}
    return " and ".join(sorted(found, key=["int4", "int8", "floats"].index))


def _tensors(
    one: Planned, shapes: Mapping[str, TensorShape], file: GgufFile, bits: int | None, error: RoundingError
) -> Iterator[StoredTensor]:
    """Our tensors in a tensor of the file."""
    sizes = [shapes[name][0] for name in one.ours]
    if bits is None:
        kind, values = stored_array(file, one.name)
        for name, part in zip(one.ours, one.split(values, sizes), strict=True):
            yield float_tensor(name, kind, part)
        return
    exact = bits_of_block(block_kind(file, one.name).name) is not None
    rows = stored_integers(file, one.name, bits) if exact else rounded_integers(file, one.name, error)
    parts = one.split(rows.integers, sizes), one.split(rows.scales, sizes)
    for name, integers, scales in zip(one.ours, *parts, strict=True):
        yield _integer_tensor(name, bits, integers, scales)


def _integer_tensor(name: str, bits: int, integers: Array, scales: Array) -> StoredTensor:
    rows, columns = len(integers), integers.shape[1] * 8 // bits
    return StoredTensor(
        name=name, type=_TYPES[bits], rows=rows, columns=columns, group=GROUP, data=integers, scales=scales
    )
