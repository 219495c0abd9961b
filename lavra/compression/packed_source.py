"""A packed folder as the original of a GGUF file: INT8 goes into Q8_0 and INT4 into Q4_0 as they are.

A block of these types is 32 weights of a row; a scale of more weights is written into each of their blocks.
"""

from __future__ import annotations

from pathlib import Path

import torch

from lavra.base.errors import InputError
from lavra.model.build import Model
from lavra.model.checkpoint import load_checkpoint
from lavra.quantize.expand import expanded
from lavra.quantize.folder import load_model
from lavra.quantize.folder_facts import is_quantized, stored_scheme
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.swap import quantized_matrices


def open_original(source: Path, target: str) -> Model:
    """Open a model for export, in float32.

    Raises:
        InputError: the folder is packed, and the target does not take its integers as they are.
        CheckpointError: the folder cannot be opened.
    """
    scheme = stored_scheme(source) if is_quantized(source) else None
    if scheme is None:
        return load_checkpoint(source, dtype=torch.float32)[0]
    fitting = f"gguf:q{scheme.bits}_0"
    if target != fitting:
        raise InputError(
            f"{source} is packed in {scheme.name}, and {target} would round it a second time; {fitting} takes it as "
            "it is, or compress the unquantized model"
        )
    return expanded(load_model(source)[0], torch.float32)


def packed_matrices(source: Path) -> dict[str, QuantizedMatrix] | None:
    """The matrices of a packed folder by the name of their module; None for any other folder."""
    if not is_quantized(source):
        return None
    return {name.removesuffix(".matrix"): matrix for name, matrix in quantized_matrices(load_model(source)[0])}
