"""Compressed models opened for speed: packed or half-precision weights are held in the type that computes fastest.

On a CPU that type is float32 for any stored type: PyTorch turns packed matrices into floats anew at every product, and
its products of 16-bit floats are up to thirteen times slower than float32's where the processor lacks instructions for
them.  On a GPU the stored type stays, and packed matrices become floats of it.  A model that would not fit into the
memory that is free stays as it is stored, with a warning.  docs/quantize.md has the figures.

Training over a compressed base does not come here: there memory counts most (`load_model`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from lavra.base.device import available_memory
from lavra.base.gguf_file import is_gguf, read_gguf
from lavra.base.memory import release_freed_memory
from lavra.base.units import format_size
from lavra.model.build import Model, new_model
from lavra.model.checkpoint import DTYPES, dtype_name
from lavra.model.gguf_config import block_format
from lavra.model.heads import TaskModel
from lavra.model.tensors import FLOATS, open_tensors
from lavra.quantize.folder import load_model
from lavra.quantize.folder_facts import is_quantized, stored_scheme
from lavra.quantize.held import HeldWeights
from lavra.quantize.swap import quantized_matrices

log = logging.getLogger(__name__)

_SHARE: Final = 0.8  # share of the free memory that the floats may take


def opening_dtype(folder: Path, device: torch.device) -> torch.dtype | None:
    """The type a folder's floats are opened in where the user names none; None is the stored one."""
    if device.type != "cpu" or is_quantized(folder):
        return None
    if is_gguf(folder):
        file = read_gguf(folder)
        if block_format(file) not in ("F16", "BF16"):  # blocks become float32 by themselves
            return None
        count = sum(tensor.num_values for tensor in file.tensors.values())
        return torch.float32 if _fits(4 * count, device, folder) else None
    files = open_tensors(folder)
    stored = {files.dtypes[name] for name in files.names} & FLOATS.keys()
    if stored <= {"F32", "F64"}:
        return None
    count = sum(math.prod(files.shapes[name]) for name in files.names)
    return torch.float32 if _fits(4 * count, device, folder) else None


def open_model(
    folder: Path, *, dtype: torch.dtype | None = None, device: torch.device, expand: bool = True
) -> tuple[Model, HeldWeights]:
    """Open a model folder in the form that computes fastest, in evaluation mode.

    Args:
        folder: a folder that `transformers` or lavra wrote, quantized or not.
        dtype: type of the floats, also those made of packed matrices; by default the fastest here.
        device: device of the weights.
        expand: False leaves packed matrices packed and half precision as it is, which is smaller and slower.

    Raises:
        CheckpointError: as `load_model`.
    """
    chosen = opening_dtype(folder, device) if dtype is None and expand else dtype
    model, config = load_model(folder, dtype=chosen, device=device)
    if expand and is_quantized(folder):
        target = dtype or (torch.float32 if device.type == "cpu" else DTYPES[config.dtype])
        size = sum(matrix.rows * matrix.columns for _, matrix in quantized_matrices(model)) * target.itemsize
        if _fits(size, device, folder):
            model = expanded(model, target)
            release_freed_memory()  # the packed matrices
    return model, held_weights(model, folder)


def held_weights(model: Model | TaskModel, folder: Path) -> HeldWeights:
    """The types and bytes of an open model's weights.

    Args:
        model: the model in memory, with or without adapters.
        folder: the source of its weights.
    """
    scheme = stored_scheme(folder)
    stored = (model.config.dtype if scheme is None else scheme.name) if not is_gguf(folder) else _kept_in(folder)
    packed = {matrix.scheme.name for _, matrix in quantized_matrices(model)}
    floats = next((one.dtype for one in model.parameters() if one.dtype in DTYPES.values()), torch.float32)
    return HeldWeights(
        stored=stored, held=next(iter(packed), dtype_name(floats)), num_bytes=_num_bytes(_tensors_of(model))
    )


def _kept_in(file: Path) -> str:
    """The type or block format of a GGUF file, in the words of a folder's types."""
    kind = block_format(read_gguf(file))
    return {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(kind, kind)


@torch.no_grad()
def expanded(model: Model, dtype: torch.dtype) -> Model:
    """A plain model of a quantized one's weights, which is used up: a packed matrix goes as its floats are made.

    Inputs that a scheme rounds at every product (`int8-dynamic`) are no longer rounded.
    """
    matrices = {f"{name.removesuffix('.matrix')}.weight": matrix for name, matrix in quantized_matrices(model)}
    floats = dict(model.named_parameters())
    with torch.device("meta"):
        plain = new_model(model.config)
    for name, _ in list(plain.named_parameters()):
        matrix = matrices.pop(name, None)
        found = floats[name].detach().to(dtype) if matrix is None else matrix.dequantized(dtype)
        if matrix is not None:
            matrix.packed = matrix.packed.new_empty(0)
        owner, _, leaf = name.rpartition(".")
        setattr(plain.get_submodule(owner), leaf, nn.Parameter(found))
    return plain.eval()


@torch.no_grad()
def as_stored(folder: Path, model: Model) -> Model | None:
    """The folder's own compact model, if the weights of an expanded one are still its; else None."""
    compact, _ = load_model(folder)
    matrices = {f"{name.removesuffix('.matrix')}.weight": matrix for name, matrix in quantized_matrices(compact)}
    floats = dict(compact.named_parameters())
    for name, parameter in model.named_parameters():
        own = matrices[name].dequantized(parameter.dtype) if name in matrices else floats[name].to(parameter.dtype)
        if not torch.equal(own.to(parameter.device), parameter):
            return None
    return compact


def _fits(num_bytes: int, device: torch.device, folder: Path) -> bool:
    free = available_memory(device)
    if num_bytes <= _SHARE * free:
        return True
    log.warning(
        "%s stays as it is stored: in the type that computes fastest here it would take %s, and %s are free; "
        "it will be slow",
        folder,
        format_size(num_bytes),
        format_size(free),
    )
    return False


def _tensors_of(model: nn.Module) -> Iterable[Tensor]:
    yield from model.parameters()
    for _, matrix in quantized_matrices(model):
        yield from (matrix.packed, matrix.scale)


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())
