"""A checkpoint's floats as tensors for the native runner, and the checks of every folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lavra.base.errors import CheckpointError
from lavra.engine.runners.native_model import StoredTensor, TensorType
from lavra.model.config import Kind, ModelConfig, Scaling
from lavra.model.gguf_blocks import RoundingError
from lavra.model.shapes import TensorShape
from lavra.model.tensor_names import Checkpoint
from lavra.model.tensors import FLOATS
from lavra.model.weights import Rule, WeightTable, their_shape

Array = npt.NDArray[Any]
_TYPES: Final = {"F32": TensorType.F32, "F16": TensorType.F16, "BF16": TensorType.BF16}


class NotNativeError(Exception):
    """The folder is sound, but the native runner does not compute its model; the message gives the reason."""


@dataclass(frozen=True, kw_only=True)
class NativeWeights:
    """The weights in a folder.

    Attributes:
        config: configuration of the model.
        stored: type of the weights (`bfloat16`), format of compressed weights (`int8`), or a GGUF file's block format.
        packed: whether the matrices are integers.
        read: function that reads the tensors, one after the other.
        held: types of packed matrices that the native runner holds (`int4 and int8`), if they differ from `stored`.
        rounding: rounding errors of reading GGUF blocks.
    """

    config: ModelConfig
    stored: str
    packed: bool
    read: Callable[[], Iterator[StoredTensor]]
    held: str | None = None
    rounding: RoundingError | None = None


def check_config(config: ModelConfig) -> None:
    """Refuse a configuration that the native runner does not compute."""
    scaling = config.rope.scaling if config.rope is not None else None
    if scaling is not None and scaling.kind is Scaling.DYNAMIC:
        raise NotNativeError("dynamic rope scaling turns every key anew as the text grows")
    if not config.has_head and config.kind is not Kind.ENCODER:
        raise NotNativeError("the model has no head, so it writes nothing")


def check_floats(one: Rule, checkpoint: Checkpoint, shapes: Mapping[str, TensorShape], folder: Path) -> None:
    """Refuse a tensor that is not a float, or has another shape than the model needs; raises CheckpointError."""
    kind, shape, wanted = checkpoint.dtype(one.theirs), checkpoint.shape(one.theirs), their_shape(one, shapes)
    if kind not in FLOATS:
        raise CheckpointError(f"{folder}: tensor {one.theirs} has type {kind}; lavra opens {', '.join(FLOATS)}")
    if shape != wanted:
        raise CheckpointError(
            f"{folder}: tensor {one.theirs} has shape {list(shape)}, expected {list(wanted)}; "
            "its config.json and its weights do not belong together"
        )


def float_tensors(table: WeightTable, checkpoint: Checkpoint) -> Iterator[StoredTensor]:
    """The tensors of a table, read one after the other."""
    for one in table:
        kind = checkpoint.dtype(one.theirs)
        parts = one.form.split(checkpoint.array(one.theirs))
        for name, part in zip(one.ours, parts, strict=True):
            yield float_tensor(name, kind, part)


def float_tensor(name: str, kind: str, values: Array) -> StoredTensor:
    """A matrix, or a vector as one row; float64 becomes float32."""
    if kind == "F64":
        kind, values = "F32", values.astype(np.float32)
    wide = values if values.ndim == 2 else values[None]
    return StoredTensor(name=name, type=_TYPES[kind], rows=wide.shape[0], columns=wide.shape[1], data=aligned(wide))


def in_float32(tensor: StoredTensor) -> StoredTensor:
    """The same floats, widened without rounding."""
    if tensor.type is TensorType.BF16:
        values: Array = (tensor.data.astype(np.uint32) << 16).view(np.float32)
    else:
        values = tensor.data.astype(np.float32)
    return replace(tensor, type=TensorType.F32, data=values)


def aligned(values: Array) -> Array:
    """A row-major copy of an array unless it is so already, at an address aligned for C++."""
    return np.require(values, requirements=("C", "ALIGNED"))
