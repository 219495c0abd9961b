"""A compressed checkpoint's integers and scales as tensors for the native runner, from either layout.

lavra's own            packed integers and scales under our names, the embedding and the head too
compressed-tensors'    under their names, by the family's table of tensors, whose forms move whole rows
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from lavra.base.errors import CheckpointError
from lavra.engine.runners.native_floats import (
    Array,
    NativeWeights,
    NotNativeError,
    aligned,
    check_config,
    check_floats,
    float_tensor,
    float_tensors,
)
from lavra.engine.runners.native_model import StoredTensor, TensorType
from lavra.model.config_files import check_names, family_of, read_config
from lavra.model.shapes import TensorShape, parameter_shapes
from lavra.model.tensor_names import Checkpoint, named, resolve_copies
from lavra.model.tensors import FLOATS, open_tensors
from lavra.model.weights import Rule, their_shape
from lavra.quantize.folder_facts import (
    PACKED,
    SCALE,
    SHAPE,
    as_floats,
    native_config,
    native_scheme,
    native_tensors,
    quantized_names,
    read_scheme,
)
from lavra.quantize.scheme import Scheme

_Kept = tuple[TensorShape, tuple[str, ...]]
_GROUP: Final = 32  # the kernels' scales are of this number of neighbouring inputs, or of a multiple


def _check_scheme(scheme: Scheme) -> None:
    if scheme.group_size is not None and scheme.group_size % _GROUP:
        raise NotNativeError(
            f"{scheme.group_size} weights share a scale, and the native runner takes multiples of {_GROUP}"
        )


def packed_weights(raw: Mapping[str, Any], facts: Mapping[str, Any], folder: Path) -> NativeWeights:
    """A folder in lavra's own layout."""
    raw, files = native_tensors(raw, facts, folder)
    config, scheme = native_config(raw, facts, files, folder), native_scheme(facts, folder)
    check_config(config)
    _check_scheme(scheme)
    shapes = parameter_shapes(config)
    wanted = dict(_packed_shapes(shapes, scheme))
    wrong = sorted(set(wanted) ^ files.names)
    if wrong:
        raise CheckpointError(
            f"{folder}: {len(wrong)} tensors are missing or unexpected, {wrong[0]} among them; "
            "its config.json and its weights do not belong together"
        )
    for name, (shape, kinds) in wanted.items():
        if files.shapes[name] != shape or files.dtypes[name] not in kinds:
            raise CheckpointError(
                f"{folder}: tensor {name} is {files.dtypes[name]} {list(files.shapes[name])}, expected "
                f"{list(shape)}; its config.json and its weights do not belong together"
            )

    def read() -> Iterator[StoredTensor]:
        for name, shape in shapes.items():
            stem = name.removesuffix(".weight")
            if f"{stem}.matrix.packed" not in wanted:
                yield float_tensor(name, files.dtypes[name], files.array(name))
                continue
            data, scales = files.array(f"{stem}.matrix.packed"), files.array(f"{stem}.matrix.scale")
            yield _integers(name, shape, scheme, data, scales)

    return NativeWeights(config=config, stored=scheme.name, packed=True, read=read)


def _packed_shapes(
    shapes: Mapping[str, TensorShape], scheme: Scheme
) -> Iterator[tuple[str, tuple[TensorShape, tuple[str, ...]]]]:
    """Shape and types of every tensor of a folder in our layout: linear layers, the embedding and the head packed."""
    for name, shape in shapes.items():
        stem = name.removesuffix(".weight")
        linear = ".blocks." in name and len(shape) == 2
        if not linear and name not in ("embedding.token.weight", "head.weight"):
            yield name, (shape, tuple(FLOATS))
            continue
        width = scheme.padded(shape[1]) * scheme.bits // 8
        yield f"{stem}.matrix.packed", ((shape[0], width), ("U8",))
        yield f"{stem}.matrix.scale", ((shape[0], scheme.num_groups(shape[1])), ("BF16",))


def _integers(name: str, shape: TensorShape, scheme: Scheme, data: Array, scales: Array) -> StoredTensor:
    if scheme.bits == 8 and scheme.group_size is None:
        data = data[:, : shape[1]]  # without the zeros behind a row
    # Only `int8-dynamic` asks for inputs of 8 bits (W8A8), and only in linear layers of blocks.
    eight = TensorType.INT8 if scheme.rounds_inputs and ".blocks." in name else TensorType.INT8_A16
    return StoredTensor(
        name=name,
        type=eight if scheme.bits == 8 else TensorType.INT4,
        rows=shape[0],
        columns=shape[1],
        group=scheme.group_size or 0,
        data=aligned(data),
        scales=aligned(scales),
    )


def interchange_weights(raw: Mapping[str, Any], facts: Mapping[str, Any], folder: Path) -> NativeWeights:
    """A folder in the layout of compressed-tensors.

    Args:
        raw: `config.json` without its `quantization_config`.
        facts: the `quantization_config`.
        folder: folder of the tensors.

    Raises:
        CheckpointError: the folder is damaged, or its packing is not supported.
        NotNativeError: only torch computes the model.
    """
    scheme = read_scheme(facts, folder)
    source = family_of(raw, folder)
    found = named(source, open_tensors(folder))
    quantized = quantized_names(found)
    view = as_floats(found, quantized, folder)
    config, view = resolve_copies(source, read_config(source, raw, folder, view), view)
    check_config(config)
    _check_scheme(scheme)
    table, shapes = source.table(config), parameter_shapes(config)
    check_names(table, view, folder)
    for one in table:
        if one.theirs in quantized:
            _check_words(one, found, scheme, shapes, folder)
        else:
            check_floats(one, view, shapes, folder)

    def read() -> Iterator[StoredTensor]:
        for one in table:
            if one.theirs not in quantized:
                yield from float_tensors([one], view)
                continue
            scales = found.array(one.theirs + SCALE)
            parts = one.form.split(_their_integers(one, found, scheme)), one.form.split(scales.reshape(len(scales), -1))
            for name, data, own in zip(one.ours, *parts, strict=True):
                yield _integers(name, shapes[name], scheme, data, own)

    return NativeWeights(config=config, stored=scheme.name, packed=True, read=read)


def _their_integers(one: Rule, found: Checkpoint, scheme: Scheme) -> Array:
    """(N, K * bits / 8) bytes with 128 or 8 added, from either format."""
    if one.theirs + PACKED in found.names:
        columns = int(found.array(one.theirs + SHAPE)[1])
        bytes_of_words = np.ascontiguousarray(found.array(one.theirs + PACKED)).view(np.uint8)
        return bytes_of_words[:, : columns * scheme.bits // 8]
    return found.array(one.theirs).view(np.uint8) ^ np.uint8(128)


def _check_words(one: Rule, found: Checkpoint, scheme: Scheme, shapes: Mapping[str, TensorShape], folder: Path) -> None:
    """Refuse integers and scales of other shapes than the model's; errors as `lavra.quantize.interchange`."""
    if one.form.transposed:
        raise NotNativeError(f"{one.theirs} lies transposed")
    rows, columns = their_shape(one, shapes)
    groups = scheme.num_groups(columns)
    if any(".blocks." not in name or len(shapes[name]) != 2 for name in one.ours):
        raise CheckpointError(f"{folder}: {one.theirs} is quantized, and lavra opens quantized linear layers only")
    if found.dtype(one.theirs + SCALE) != "BF16":
        raise NotNativeError(f"the scales of {one.theirs} are {found.dtype(one.theirs + SCALE)}, not BF16")
    expected: list[tuple[str, str, tuple[TensorShape, ...]]] = [
        (SCALE, "BF16", ((rows, groups), *(((rows,),) * (groups == 1))))
    ]
    if one.theirs + PACKED in found.names:
        expected.append((PACKED, "I32", ((rows, math.ceil(columns * scheme.bits / 32)),)))
        expected.append((SHAPE, "I64", ((2,),)))
    else:
        expected.append(("", "I8", ((rows, columns),)))
    for part, kind, allowed in expected:
        name = one.theirs + part
        if name not in found.names or found.dtype(name) != kind or found.shape(name) not in allowed:
            raise CheckpointError(
                f"{folder}: {name} is not {kind} {list(allowed[0])}; its config.json and its weights differ"
            )
    if one.theirs + PACKED in found.names and found.array(one.theirs + SHAPE).tolist() != [rows, columns]:
        raise CheckpointError(f"{folder}: {one.theirs}{SHAPE} is not {[rows, columns]}; fetch the folder again")
