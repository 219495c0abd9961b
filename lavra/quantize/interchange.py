"""The interchange layout: linear layers as compressed-tensors stores them, so that others open the folder.

    int8, int4      pack-quantized   weight_packed (N, ceil(K bits / 32)) int32, weight_scale (N, G), weight_shape (2,)
    int8-dynamic    int-quantized    weight (N, K) int8, weight_scale (N, 1)

Formats and names are compressed-tensors'; its presets W8A16 and W4A16 share a scale among 128 weights, where here it is
32.  Folders were opened with `transformers`, not with vLLM.  A family's table moves whole rows of a
matrix, and integers and scales have the same rows, so its forms serve for both; GPT-2's matrices lie transposed in a
Conv1D, which the convention cannot describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.build import Model, new_model
from lavra.model.checkpoint import DTYPES, check_shapes, fill, joined
from lavra.model.config import ModelConfig
from lavra.model.config_files import check_names, family_of, read_config
from lavra.model.families.table import family
from lavra.model.tensor_names import Checkpoint, named, resolve_copies
from lavra.model.tensors import open_tensors
from lavra.model.weights import Rule
from lavra.quantize.folder_facts import METHOD, PACKED, SCALE, SHAPE, as_floats, quantized_names, read_scheme
from lavra.quantize.modules import QuantizedLinear, QuantizedMatrix
from lavra.quantize.packing import from_words, pack, to_words, unpack
from lavra.quantize.scheme import Scheme
from lavra.quantize.swap import linear_names, replace_module


def quantization_config(model: Model, scheme: Scheme) -> dict[str, Any]:
    """The field of `config.json` that names the quantized layers and their scheme."""
    inputs = {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}
    weights = {
        "num_bits": scheme.bits,
        "type": "int",
        "strategy": "channel" if scheme.group_size is None else "group",
        "group_size": scheme.group_size,
        "symmetric": True,
        "dynamic": False,
    }
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": inputs if scheme.rounds_inputs else None,
        "output_activations": None,
    }
    return {
        "quant_method": METHOD,
        "format": "int-quantized" if scheme.rounds_inputs else "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": _float_linears(model),
        "kv_cache_scheme": None,
    }


def check_layout(model: Model, scheme: Scheme) -> None:
    """Refuse a model in floats that this layout cannot hold, before its rounding, which takes time.

    Raises:
        ConfigError: as `tensors_of`.
    """
    chosen = set(linear_names(model))
    for one in family(model.config.family).table(model.config):
        owners = [name.removesuffix(".weight") for name in one.ours]
        if chosen.issuperset(owners):
            _check_rows(one)
            linear = model.get_submodule(owners[0])
            assert isinstance(linear, nn.Linear)
            _check_inputs(one, linear.in_features, scheme)


def tensors_of(model: Model) -> dict[str, Tensor]:
    """Everything a folder of this layout holds, under their names.

    Raises:
        ConfigError: the family's matrices lie in a way the convention cannot describe, or their rows do not fill its
            groups or words.
    """
    parameters = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    for one in family(model.config.family).table(model.config):
        matrices = _matrices(model, one)
        if matrices:
            tensors |= _stored(one, matrices)
        else:
            tensors[one.theirs] = joined(one, parameters)
    return tensors


def load(
    raw: Mapping[str, Any], facts: Mapping[str, Any], folder: Path, dtype: torch.dtype | None
) -> tuple[Model, ModelConfig]:
    """Open a folder of this layout, written by any tool.

    Args:
        raw: `config.json` without its `quantization_config`.
        facts: the field `quantization_config`.
        folder: the folder of the tensors.
        dtype: type of the weights that are not quantized; by default the folder's own.

    Raises:
        CheckpointError: a stored tensor does not fit these two schemes, or files are damaged.
    """
    scheme = read_scheme(facts, folder)
    source = family_of(raw, folder)
    found = named(source, open_tensors(folder))
    quantized = quantized_names(found)
    view = as_floats(found, quantized, folder)
    config, view = resolve_copies(source, read_config(source, raw, folder, view), view)
    table = source.table(config)
    check_names(table, view, folder)
    with torch.device("meta"):
        model = new_model(config)
    for one in table:
        if one.theirs in quantized:
            _restore(model, one, found, scheme, folder)
    floats = [one for one in table if one.theirs not in quantized]
    check_shapes(floats, model, view, folder)
    fill(model, floats, view, dtype or DTYPES[config.dtype], torch.device("cpu"))
    return model, config


def _restore(model: Model, one: Rule, found: Checkpoint, scheme: Scheme, folder: Path) -> None:
    """Put a stored matrix, or the several it holds, in the place of our linear layers."""
    _check_rows(one)
    integers, scale = _integers(one, found, scheme, folder), found.read(one.theirs + SCALE)
    if scale.dim() == 1:
        scale = scale[:, None]
    parts = zip(one.ours, one.form.split(integers), one.form.split(scale), strict=True)
    for name, rows, scales in parts:
        owner = name.removesuffix(".weight")
        linear = model.get_submodule(owner)
        if not isinstance(linear, nn.Linear):
            raise CheckpointError(f"{folder}: {one.theirs} is quantized, and lavra opens quantized linear layers only")
        wanted = (linear.out_features, linear.in_features)
        if tuple(rows.shape) != wanted or scales.shape[1] != scheme.num_groups(wanted[1]):
            raise CheckpointError(
                f"{folder}: {one.theirs} holds {list(rows.shape)} with {scales.shape[1]} groups, expected "
                f"{list(wanted)} with {scheme.num_groups(wanted[1])}; its config.json and its weights differ"
            )
        with torch.device("cpu"):
            matrix = QuantizedMatrix(*wanted, scheme)
        matrix.set(rows.contiguous(), scales.clone())
        replace_module(model, owner, QuantizedLinear(matrix, linear.bias))


def _integers(one: Rule, found: Checkpoint, scheme: Scheme, folder: Path) -> Tensor:
    """(N, K) int8 from either format."""
    if one.theirs + PACKED not in found.names:
        stored = found.read(one.theirs)
        if stored.dtype != torch.int8 or scheme.bits != 8:
            raise CheckpointError(
                f"{folder}: {one.theirs} is {stored.dtype} where {scheme.bits}-bit integers are expected"
            )
        return stored
    shape = found.read(one.theirs + SHAPE).tolist()
    words = found.read(one.theirs + PACKED)
    num_bytes = shape[1] * scheme.bits // 8
    if len(shape) != 2 or words.dtype != torch.int32 or words.shape != (shape[0], -(-num_bytes // 4)):
        raise CheckpointError(
            f"{folder}: {one.theirs} of shape {shape} does not fit its words, {list(words.shape)} {words.dtype}"
        )
    return unpack(from_words(words, num_bytes), scheme.bits)


def _stored(one: Rule, matrices: list[QuantizedMatrix]) -> dict[str, Tensor]:
    _check_rows(one)
    scheme = matrices[0].scheme
    _check_inputs(one, matrices[0].columns, scheme)
    integers = one.form.join([matrix.integers().cpu() for matrix in matrices], torch.cat)
    scale = one.form.join([matrix.scale.cpu() for matrix in matrices], torch.cat).contiguous()
    if scheme.rounds_inputs:
        return {one.theirs: integers.contiguous(), one.theirs + SCALE: scale}
    return {
        one.theirs + PACKED: to_words(pack(integers, scheme.bits)),
        one.theirs + SCALE: scale,
        one.theirs + SHAPE: torch.tensor(integers.shape),
    }


def _check_inputs(one: Rule, inputs: int, scheme: Scheme) -> None:
    if inputs % (scheme.group_size or 8):
        raise ConfigError(
            f"{one.theirs} has {inputs} inputs, no multiple of {scheme.group_size or 8}, as this layout needs; "
            "give a smaller group_size, or use the native layout"
        )


def _check_rows(one: Rule) -> None:
    if one.form.transposed:
        raise ConfigError(
            f"{one.theirs} lies transposed in a Conv1D (GPT-2), which compressed-tensors cannot describe; "
            "use the native layout, or export to GGUF or ONNX"
        )


def _matrices(model: Model, one: Rule) -> list[QuantizedMatrix]:
    """The quantized matrices a tensor of theirs holds; none where it holds floats."""
    if not one.theirs.endswith(".weight"):
        return []
    owners = [model.get_submodule(name.rpartition(".")[0]) for name in one.ours]
    return [owner.matrix for owner in owners if isinstance(owner, QuantizedLinear)]


def _float_linears(model: Model) -> list[str]:
    """The names of float layers that `transformers` would take for quantized linear layers."""
    source = family(model.config.family)
    names = {source.tied[0].removesuffix(".weight")}
    for one in source.table(model.config):
        owner = model.get_submodule(one.ours[0].rpartition(".")[0])
        if isinstance(owner, nn.Linear):
            names.add(one.theirs.rpartition(".")[0])
    return sorted(names)
