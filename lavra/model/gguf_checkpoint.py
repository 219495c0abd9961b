"""Open a GGUF file as a model: llama.cpp's tensors and settings, converted to ours.

A tensor is read from the mapped file and dequantized in slices of rows, so the peak is the model and one tensor.  The
weights become floats, because lavra trains and serves floats; their block format stays known
(`ModelConfig.dequantized_from`), since a comparison with rounded weights does not measure rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from lavra.base.gguf_file import GgufFile, read_gguf
from lavra.model.build import Model, new_model
from lavra.model.config import ModelConfig
from lavra.model.gguf_arrays import check_tensors, read_array
from lavra.model.gguf_config import load_gguf_config
from lavra.model.gguf_names import plan_tensors

_TYPES: Final = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_gguf(
    path: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[Model, ModelConfig]:
    """Open a GGUF file, in evaluation mode.

    Args:
        path: path of the file.
        dtype: type of the weights; by default the type of a file in 16 bits, and float32 for blocks.
        device: device of the weights.

    Raises:
        CheckpointError: the architecture is not supported, a setting cannot be honoured, the file is damaged or
            truncated, or tensors are missing, unexpected or of the wrong shape.
    """
    config, file = load_gguf_config(path), read_gguf(path)
    target = dtype or _TYPES[config.dtype]
    with torch.device("meta"):
        model = new_model(config)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    planned = plan_tensors(config, list(shapes))
    check_tensors(planned, shapes, file)
    for one in planned:
        rows = read_tensor(file, one.name)
        for name, part in zip(one.ours, one.split(rows, [shapes[name][0] for name in one.ours]), strict=True):
            owned = torch.empty(part.shape, dtype=target, device=device)
            owned.copy_(part)
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, nn.Parameter(owned))
    return model.eval(), config


def read_tensor(file: GgufFile, name: str) -> Tensor:
    """A tensor as float32, from any block format; errors as `read_array`."""
    return torch.from_numpy(read_array(file, name))
