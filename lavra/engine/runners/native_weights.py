"""A decoder's folder or GGUF file as tensors for the native runner: read as arrays from the mapped files, one by one.

    config.json, safetensors   floats under their names, by the family's table of tensors (`lavra.model.weights`)
    lavra's native layout      packed integers and scales under our names
    compressed-tensors'        packed integers and scales under their names, by the same table
    GGUF                       every block format, as float32

Nothing here needs torch.  Names, shapes and types are checked before anything is read, so that a damaged folder is
refused; what is sound but not for the native runner (a task's head, scales in float16) is said with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lavra.base.gguf_file import is_gguf, read_gguf
from lavra.engine.runners.native_floats import (
    NativeWeights,
    NotNativeError,
    check_config,
    check_floats,
    float_tensor,
    float_tensors,
)
from lavra.engine.runners.native_integers import interchange_weights, packed_weights
from lavra.engine.runners.native_model import StoredTensor
from lavra.model.config_files import check_names, family_of, read_config, read_config_file
from lavra.model.families import family, family_names
from lavra.model.families.fields import Fields
from lavra.model.gguf_arrays import check_tensors, read_array
from lavra.model.gguf_config import PLAIN, block_format, load_gguf_config
from lavra.model.gguf_names import plan_tensors
from lavra.model.shapes import parameter_shapes
from lavra.model.tensor_names import named, resolve_copies
from lavra.model.tensors import open_tensors
from lavra.quantize.folder_facts import METHOD, NATIVE


def open_weights(folder: Path) -> NativeWeights:
    """Look at a decoder's folder or GGUF file; no numbers are read yet.

    Raises:
        CheckpointError: it is damaged or incomplete, as `load_model` says.
        NotNativeError: only torch computes what it holds.
    """
    if is_gguf(folder):
        return _gguf(folder)
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
    # Before anything is warned of: torch, which opens what is not for the native runner, warns of the same.
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


def _gguf(path: Path) -> NativeWeights:
    config, file = load_gguf_config(path), read_gguf(path)
    check_config(config)
    shapes = parameter_shapes(config)
    planned = plan_tensors(config, list(shapes))
    check_tensors(planned, shapes, file)

    def read() -> Iterator[StoredTensor]:
        for one in planned:
            parts = one.split(read_array(file, one.name), [shapes[name][0] for name in one.ours])
            for name, part in zip(one.ours, parts, strict=True):
                yield float_tensor(name, "F32", part)

    kind = block_format(file)
    return NativeWeights(config=config, stored=PLAIN.get(kind, kind), packed=False, read=read)
