"""Open and save Hugging Face folders: safetensors beside a `config.json` (`config_files.py`).

A model is made without memory (the meta device), then each tensor is read from the mapped file, put into our form
and given to it, so the peak is one copy of the weights and one tensor.  Tensors are copied out of the file rather
than used in place: the matrix kernels' results may depend on the alignment of their inputs, and a model must
compute the same numbers before it is saved and after.

Downloading and sharding over devices are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from lavra.base.errors import CheckpointError, ConfigError
from lavra.base.gguf_file import is_gguf
from lavra.model.build import Model, new_model
from lavra.model.config import ModelConfig
from lavra.model.config_files import (
    check_expressible,
    check_names,
    family_of,
    read_config,
    read_config_file,
    refuse_quantized,
    write_config,
)
from lavra.model.families.family import Family
from lavra.model.families.table import family
from lavra.model.gguf_checkpoint import load_gguf
from lavra.model.tensor_names import Checkpoint, named, resolve_copies
from lavra.model.tensor_writing import write_tensors
from lavra.model.tensors import FLOATS, open_tensors
from lavra.model.weights import Rule, WeightTable, their_shape

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_checkpoint(
    folder: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[Model, ModelConfig]:
    """Open a model folder written by `transformers` or lavra, or a GGUF file, in evaluation mode.

    Args:
        folder: a folder with `config.json` and safetensors; or a GGUF file, whose weights become floats.
        dtype: type of the weights; by default the type that the folder was saved in.
        device: device of the weights.

    Raises:
        CheckpointError: the architecture is not supported, a setting cannot be honoured, a file is damaged,
            missing or pickled, or tensors are missing, unexpected or of the wrong shape.
    """
    folder = Path(folder)
    if is_gguf(folder):
        return load_gguf(folder, dtype=dtype, device=device)
    raw = read_config_file(folder)
    refuse_quantized(raw, folder)
    source = family_of(raw, folder)
    checkpoint = named(source, open_tensors(folder))
    config = read_config(source, raw, folder, checkpoint)
    config, checkpoint = resolve_copies(source, config, checkpoint)
    target = dtype or DTYPES[config.dtype]
    with torch.device("meta"):
        model = new_model(config)
    table = source.table(config)
    check_names(table, checkpoint, folder)
    check_shapes(table, model, checkpoint, folder)
    fill(model, table, checkpoint, target, torch.device(device))
    empty = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    assert not empty, f"the table leaves parameters unset: {empty}"
    model.eval()
    return model, config


def save_checkpoint(model: Model, folder: Path | str, *, max_shard_bytes: int = 5_000_000_000) -> None:
    """Save a model as a folder that `transformers` opens; other files in the folder stay.

    Weights keep their type; the head's matrix is written only when it is not the embedding's.

    Raises:
        ConfigError: the family's `config.json` has no field for a setting of the model.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = family(model.config.family)
    check_expressible(target, model.config)
    parameters = dict(model.named_parameters())
    table = target.table(model.config) if model.config.has_head else _unprefixed(target, target.table(model.config))
    dtype = model.embedding.token.weight.dtype
    tensors = {one.theirs: joined(one, parameters) for one in table}
    write_tensors(folder, tensors, max_shard_bytes=max_shard_bytes)
    write_config(replace(model.config, dtype=dtype_name(dtype)), folder)


def check_shapes(table: WeightTable, model: nn.Module, checkpoint: Checkpoint, folder: Path) -> None:
    """Refuse tensors that are not weights, or have another shape than the model's."""
    ours = {name: parameter.shape for name, parameter in model.named_parameters()}
    for one in table:
        kind = checkpoint.dtype(one.theirs)
        if kind not in FLOATS:
            raise CheckpointError(
                f"{folder}: tensor {one.theirs} has type {kind}; lavra opens {', '.join(FLOATS)}: "
                "open the unquantized checkpoint"
            )
        shape, wanted = checkpoint.shape(one.theirs), their_shape(one, ours)
        if shape != wanted:
            raise CheckpointError(
                f"{folder}: tensor {one.theirs} has shape {list(shape)}, expected {list(wanted)}; "
                "its config.json and its weights do not belong together"
            )


def fill(
    model: nn.Module, table: WeightTable, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device
) -> None:
    """Give every parameter its tensor, owned, contiguous, in the wanted type and place."""
    for one in table:
        for name, part in zip(one.ours, one.form.split(checkpoint.read(one.theirs)), strict=True):
            owned = torch.empty(part.shape, dtype=dtype, device=device)
            owned.copy_(part)
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, nn.Parameter(owned))


def _unprefixed(target: Family, table: WeightTable) -> WeightTable:
    return [replace(one, theirs=one.theirs.removeprefix(target.prefix)) for one in table]


def joined(one: Rule, parameters: Mapping[str, Tensor]) -> Tensor:
    """The tensor of the checkpoint that a rule makes of our parameters.

    Raises ConfigError if a parameter is replaced by an adapter or a quantized matrix.
    """
    missing = [name for name in one.ours if name not in parameters]
    if missing:
        raise ConfigError(
            f"{missing[0]} has another module in its place, so this is not a plain model to be saved; take adapters "
            "out "
            "(eject), merge them, or save them by themselves (save_adapter)"
        )
    whole: Tensor = one.form.join([parameters[name].detach().cpu() for name in one.ours], torch.cat)
    return whole.contiguous()


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a type in `config.json`."""
    return next(name for name, known in DTYPES.items() if known == dtype)
