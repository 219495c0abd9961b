"""Quantized model folders: saved in either layout, and opened again.

Both are Hugging Face folders whose `config.json` has a `quantization_config`.  In the interchange layout that is
compressed-tensors' own (https://github.com/vllm-project/compressed-tensors), and tensors have the names and forms the
family's table gives their floats: `transformers` opens such a folder.  In the native layout `quant_method` is `lavra`
and tensors have our names, so that the embedding and the head can be packed in every family.  Its file, model type and
architecture have names of our own: under the usual ones `transformers` would open the folder, find none of its tensors
and give a model of random weights with a warning.  The float folder's configuration stands in `quantization_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.build import Model, new_model
from lavra.model.checkpoint import DTYPES, dtype_name, load_checkpoint, save_checkpoint
from lavra.model.config import ModelConfig
from lavra.model.config_files import (
    check_expressible,
    config_fields,
    read_config_file,
    write_config,
)
from lavra.model.families.table import family
from lavra.model.tensor_writing import write_tensors
from lavra.model.tensors import TensorFiles
from lavra.quantize import interchange
from lavra.quantize.folder_facts import (
    METHOD,
    NATIVE,
    NATIVE_NAMES,
    NATIVE_TYPE,
    PACKED_NAMES,
    native_config,
    native_scheme,
    native_tensors,
)
from lavra.quantize.modules import QuantizedEmbedding, QuantizedLinear
from lavra.quantize.scheme import PackedLayout, Scheme
from lavra.quantize.swap import blank, quantize_model, quantized_matrices

_SHARD = 5_000_000_000


def save_quantized(model: Model, folder: Path | str) -> None:
    """Save a model that `quantize_model` has changed; its layout is the folder's. Other files stay.

    Raises:
        ConfigError: the model is not quantized, or the layout cannot express it.
    """
    folder = Path(folder)
    scheme = next((module.matrix.scheme for module in model.modules() if isinstance(module, QuantizedLinear)), None)
    if scheme is None:
        raise ConfigError("the model is not quantized; quantize it first, or save it with save_checkpoint")
    check_expressible(family(model.config.family), model.config)
    folder.mkdir(parents=True, exist_ok=True)
    config = replace(model.config, dtype=dtype_name(next(model.parameters()).dtype))
    if layout_of(model) is PackedLayout.INTERCHANGE:
        tensors, facts = interchange.tensors_of(model), interchange.quantization_config(model, scheme)
        write_tensors(folder, tensors, max_shard_bytes=_SHARD)
        write_config(config, folder, {"quantization_config": facts})
    else:
        write_tensors(folder, _native_tensors(model), max_shard_bytes=_SHARD, stem=NATIVE_TYPE)
        write_config(config, folder, {**NATIVE_NAMES, "quantization_config": _native_facts(config, scheme)})


def save_model(model: Model, folder: Path | str) -> None:
    """Save a model, quantized or not; it raises the errors of `save_quantized` and of `save_checkpoint`."""
    if any(True for _ in quantized_matrices(model)):
        save_quantized(model, folder)
    else:
        save_checkpoint(model, folder)


def load_model(
    folder: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[Model, ModelConfig]:
    """Open a model folder, quantized or not, in evaluation mode.

    Args:
        folder: a folder that `transformers` or lavra wrote.
        dtype: type of the weights that are not quantized; by default the folder's own.
        device: device of the weights.

    Raises:
        CheckpointError: as `load_checkpoint`; or a way of quantizing that lavra does not read.
    """
    folder = Path(folder)
    raw = read_config_file(folder)
    facts = raw.get("quantization_config")
    if not facts:
        return load_checkpoint(folder, dtype=dtype, device=device)
    method = facts.get("quant_method")
    plain = {name: value for name, value in raw.items() if name != "quantization_config"}
    if method == NATIVE:
        model, config = _load_native(plain, facts, folder, dtype)
    elif method == METHOD:
        model, config = interchange.load(plain, facts, folder, dtype)
    else:
        raise CheckpointError(
            f"{folder} is quantized ({method}); lavra opens {NATIVE} and {METHOD}: open the unquantized checkpoint"
        )
    return model.to(device).eval(), config


def layout_of(model: Model) -> PackedLayout:
    """The layout a quantized model has."""
    return PackedLayout.NATIVE if isinstance(model.embedding.token, QuantizedEmbedding) else PackedLayout.INTERCHANGE


def _native_tensors(model: Model) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def _native_facts(config: ModelConfig, scheme: Scheme) -> dict[str, Any]:
    fields = config_fields(config)
    return {
        "quant_method": NATIVE,
        **{name: fields[name] for name in NATIVE_NAMES},
        "scheme": scheme.name,
        "bits": scheme.bits,
        "group_size": scheme.group_size,
        "rounds_inputs": scheme.rounds_inputs,
        # The float folder's tensors: some families' configuration depends on the tensors of the file.
        "float_tensors": sorted(one.theirs for one in family(config.family).table(config)),
    }


def _load_native(
    raw: Mapping[str, Any], facts: Mapping[str, Any], folder: Path, dtype: torch.dtype | None
) -> tuple[Model, ModelConfig]:
    raw, files = native_tensors(raw, facts, folder)
    config = native_config(raw, facts, files, folder)
    scheme = native_scheme(facts, folder)
    target = dtype or DTYPES[config.dtype]
    with torch.device("meta"):
        model = new_model(config)
        quantize_model(model, scheme, make=blank)
    _check_native(model, files, folder)
    model.load_state_dict({name: _owned(name, files.read(name), target) for name in files.names}, assign=True)
    for _, matrix in quantized_matrices(model):
        matrix.dtype = target
    return model, config


def _check_native(model: nn.Module, files: TensorFiles, folder: Path) -> None:
    """Refuse tensors that are missing, unexpected or of another shape or kind."""
    wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    wrong = sorted(set(wanted) ^ files.names)
    if wrong:
        raise CheckpointError(
            f"{folder}: {len(wrong)} tensors are missing or unexpected, {wrong[0]} among them; "
            "its config.json and its weights do not belong together"
        )
    for name, (shape, dtype) in wanted.items():
        packed = dtype == torch.uint8
        if files.shapes[name] != shape or (files.dtypes[name] == "U8") != packed:
            raise CheckpointError(
                f"{folder}: tensor {name} is {files.dtypes[name]} {list(files.shapes[name])}, expected "
                f"{list(shape)}; its config.json and its weights do not belong together"
            )


def _owned(name: str, stored: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy; floats in the wanted type, integers and their scales as they are."""
    return stored.clone() if name.endswith(PACKED_NAMES) else stored.to(dtype, copy=True)
