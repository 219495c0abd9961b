"""A decoder's folder or GGUF file as tensors for the native runner: read as arrays from the mapped files, one by one.

    config.json, safetensors   floats under their names, by the family's table of tensors (`lavra.model.weights`)
    lavra's native layout      packed integers and scales under our names
    compressed-tensors'        packed integers and scales under their names, by the same table
    GGUF                       integers of 8 and 4 bits, or floats (`native_gguf.py`)

Nothing here needs torch.  Names, shapes and types are checked before any weights are read, so that a damaged folder is
refused; a sound folder that the native runner does not compute (a task's head, scales in float16) gets a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavra.base.gguf_file import is_gguf
from lavra.engine.runners.native_floats import (
    NativeWeights,
    NotNativeError,
    check_config,
    check_floats,
    float_tensors,
)
from lavra.engine.runners.native_gguf import gguf_weights
from lavra.engine.runners.native_integers import interchange_weights, packed_weights
from lavra.model.config_files import check_names, family_of, read_config, read_config_file
from lavra.model.families.fields import Fields
from lavra.model.families.table import family, family_names
from lavra.model.shapes import parameter_shapes
from lavra.model.tensor_names import named, resolve_copies
from lavra.model.tensors import open_tensors
from lavra.quantize.folder_facts import METHOD, NATIVE


def open_weights(folder: Path, *, as_floats: bool = False) -> NativeWeights:
    """Open a decoder's folder or GGUF file; no weights are read yet.

    Args:
        folder: folder of the model, or its GGUF file.
        as_floats: whether a GGUF file's blocks become float32; a folder's packed integers are not affected.

    Raises:
        CheckpointError: the folder is damaged or incomplete, as for `load_model`.
        NotNativeError: only torch computes the model.
    """
    if is_gguf(folder):
        return gguf_weights(folder, as_floats=as_floats)
    raw = read_config_file(folder)
    facts = raw.get("quantization_config")
    if _has_task_head(raw):
        raise NotNativeError("the model has a task's head")
    if not facts:
        return _floats(raw, folder)
    plain = {name: value for name, value in raw.items() if name != "quantization_config"}
    if facts.get("quant_method") == NATIVE:
        return packed_weights(plain, facts, folder)
    if facts.get("quant_method") == METHOD:
        return interchange_weights(plain, facts, folder)
    raise NotNativeError(f"the weights are quantized by {facts.get('quant_method')}")


def _has_task_head(raw: Mapping[str, Any]) -> bool:
    architectures = raw.get("architectures") or [""]
    model_type = raw.get("model_type")
    return model_type in family_names() and bool(family(str(model_type)).head_kinds(architectures[0]))


def _floats(raw: Mapping[str, Any], folder: Path) -> NativeWeights:
    source = family_of(raw, folder)
    checkpoint = named(source, open_tensors(folder))
    # Before any warning: torch, which opens models that the native runner does not compute, gives the same warnings.
    check_config(source.read(Fields(raw, where=str(folder / "config.json")), frozenset(checkpoint.names)))
    config, checkpoint = resolve_copies(source, read_config(source, raw, folder, checkpoint), checkpoint)
    check_config(config)
    table, shapes = source.table(config), parameter_shapes(config)
    check_names(table, checkpoint, folder)
    for one in table:
        check_floats(one, checkpoint, shapes, folder)
    return NativeWeights(
        config=config, stored=config.dtype, packed=False, read=lambda: float_tensors(table, checkpoint)
    )
