"""Opening and saving Hugging Face folders: `config.json`, `generation_config.json` and safetensors.

A model is made without memory (the meta device), then each tensor is read from the mapped file, put into our form
and given to it, so the peak is one copy of the weights and one tensor.  Tensors are copied out of the file rather
than used in place: the matrix kernels' results may depend on the alignment of their inputs, and a model must
compute the same numbers before it is saved and after.

Downloading and sharding over devices are not here.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lavra.base.errors import CheckpointError, ConfigError, InputError
from lavra.base.files import read_json, write_json
from lavra.base.gguf_file import is_gguf
from lavra.model.build import Model, new_model
from lavra.model.config import ModelConfig
from lavra.model.families import family, family_names
from lavra.model.families.family import Family
from lavra.model.families.fields import Fields
from lavra.model.gguf_checkpoint import gguf_config_fields, load_gguf, load_gguf_config
from lavra.model.tensor_names import Checkpoint, named, resolve_copies, some
from lavra.model.tensors import FLOATS, open_tensors, write_tensors
from lavra.model.weights import Rule, WeightTable, their_shape

log = logging.getLogger(__name__)

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_checkpoint(
    folder: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[Model, ModelConfig]:
    """Open a model folder written by `transformers` or lavra, or a GGUF file, in evaluation mode.

    Args:
        folder: has `config.json` and safetensors; or a GGUF file, whose weights become floats.
        dtype: of the weights; by default what the folder was saved in.
        device: where the weights go.

    Raises:
        CheckpointError: the architecture is not supported, a setting cannot be honoured, a file is damaged,
            missing or pickled, or tensors are missing, unexpected or of the wrong shape.
    """
    folder = Path(folder)
    if is_gguf(folder):
        return load_gguf(folder, dtype=dtype, device=device)
    raw = read_config_file(folder)
    _refuse_quantized(raw, folder)
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


def load_config(folder: Path | str) -> ModelConfig:
    """The configuration of a model folder; of its weights only the headers are read."""
    folder = Path(folder)
    if is_gguf(folder):
        return load_gguf_config(folder)
    raw = read_config_file(folder)
    _refuse_quantized(raw, folder)
    source = family_of(raw, folder)
    checkpoint = named(source, open_tensors(folder))
    return read_config(source, raw, folder, checkpoint)


def save_checkpoint(model: Model, folder: Path | str, *, max_shard_bytes: int = 5_000_000_000) -> None:
    """Save a model as a folder that `transformers` opens; other files in the folder stay.

    Weights keep their type; the head's matrix is written only when it is not the embedding's.

    Raises:
        ConfigError: the family's `config.json` has no way to say what the model is.
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


def write_config(config: ModelConfig, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write `config.json`, with further fields where some are given, and `generation_config.json`."""
    write_json(folder / "config.json", {**config_fields(config), **(extra or {})})
    write_json(folder / "generation_config.json", _generation_fields(config))


def config_fields(config: ModelConfig) -> dict[str, Any]:
    """The content of `config.json` for a configuration."""
    target = family(config.family)
    kept = {name: value for name, value in config.source.items() if name not in ("torch_dtype", "transformers_version")}
    return {
        **kept,
        **target.write(config),
        **_special_ids(config),
        "architectures": [target.architecture(config)],
        "model_type": target.model_type,
        "dtype": config.dtype,
    }


def check_expressible(target: Family, config: ModelConfig) -> None:
    """Refuse to save what would be read back as another model."""
    names = frozenset(one.theirs for one in target.table(config))
    try:
        read = target.read(Fields(config_fields(config)), names)
    except InputError as error:
        raise ConfigError(f"a {target.model_type} config.json cannot say what this model is: {error}") from None
    told_elsewhere = {"init", "dtype", "source", "generation", "bos_id", "eos_ids", "pad_id", "decoder_start_id"}
    lost = [
        f"{name} {value!r} (would be read as {getattr(read, name)!r})"
        for name, value in vars(config).items()
        if name not in told_elsewhere and getattr(read, name) != value
    ]
    if lost:
        raise ConfigError(
            f"a {target.model_type} config.json cannot say: {'; '.join(lost)}; choose another family or setting"
        )


def read_config_file(folder: Path) -> dict[str, Any]:
    """The raw `config.json` of a folder; of a GGUF file the fields that say the same."""
    if is_gguf(folder):
        return gguf_config_fields(folder)
    path = folder / "config.json"
    inside = next((one.parent.name for one in folder.glob("0_*/config.json")), None)
    if not path.exists() and inside is not None:
        raise CheckpointError(
            f"{folder} has its model in {inside}, as old versions of sentence-transformers had it; move the files of "
            f"{inside} up beside modules.json, and set the path of its module there to ''"
        )
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no config.json: it is not a model folder; name one that `save_pretrained` or lavra wrote"
        )
    try:
        raw = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); fetch it again") from None
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds a {type(raw).__name__} instead of fields; fetch it again")
    return raw


def family_of(raw: Mapping[str, Any], folder: Path) -> Family:
    """The family that `config.json` names.

    Raises CheckpointError for a model type or an architecture that is not supported.
    """
    model_type = raw.get("model_type")
    if model_type not in family_names():
        code = "; it is computed by a program that comes with it (auto_map), and lavra runs none"
        raise CheckpointError(
            f"{folder / 'config.json'}: model_type {model_type!r} is not supported"
            f"{code if raw.get('auto_map') else ''}; supported: {', '.join(sorted(family_names()))}"
        )
    found = family(model_type)
    architectures = raw.get("architectures") or []
    if architectures and not set(architectures) & set(found.architectures):
        raise CheckpointError(
            f"{folder / 'config.json'}: architecture {', '.join(architectures)} is not supported; "
            f"supported with {model_type}: {', '.join(found.architectures)}"
        )
    return found


def _refuse_quantized(raw: Mapping[str, Any], folder: Path) -> None:
    if raw.get("quantization_config"):
        method = raw["quantization_config"].get("quant_method", "unknown")
        raise CheckpointError(
            f"{folder} is quantized ({method}); open it with lavra.load, or open the unquantized checkpoint"
        )


def read_config(source: Family, raw: Mapping[str, Any], folder: Path, checkpoint: Checkpoint) -> ModelConfig:
    """The configuration of a folder with these tensors."""
    fields = Fields(raw, where=str(folder / "config.json"))
    config = source.read(fields, frozenset(checkpoint.names))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
        fields.any(name)
    fields.warn_unread()
    path = folder / "generation_config.json"
    generation = Fields(read_json(path) if path.exists() else {}, where=str(path))
    return replace(
        config,
        dtype=_dtype(fields, checkpoint),
        source=dict(raw),
        generation=dict(generation.raw),
        bos_id=_id(generation, "bos_token_id", config.bos_id),
        eos_ids=generation.ids("eos_token_id") or config.eos_ids,
        pad_id=_id(generation, "pad_token_id", config.pad_id),
        decoder_start_id=_id(generation, "decoder_start_token_id", config.decoder_start_id),
    )


def _dtype(fields: Fields, checkpoint: Checkpoint) -> str:
    """The type `config.json` states, or that of most tensors; wider tensors are warned about."""
    stored = Counter(FLOATS[kind] for kind in map(checkpoint.dtype, checkpoint.names) if kind in FLOATS)
    common = stored.most_common(1)[0][0] if stored else "float32"
    stated = str(fields.raw.get("dtype") or fields.raw.get("torch_dtype") or "auto").removeprefix("torch.")
    dtype = (common if common in DTYPES else "float32") if stated == "auto" else stated
    if dtype not in DTYPES:
        raise CheckpointError(f"{fields.where}: dtype is {dtype!r}; supported: {', '.join(DTYPES)}")
    if dtype != common and stored:
        log.warning("%s: weights stored as %s are opened as %s; pass a dtype to choose", fields.where, common, dtype)
    return dtype


def _id(fields: Fields, name: str, default: int | None) -> int | None:
    """A token id; negative ones are an old way to say there is none."""
    value = fields.any(name, default)
    return None if value is None or value < 0 else int(value)


def check_names(table: WeightTable, checkpoint: Checkpoint, folder: Path) -> None:
    """Refuse a checkpoint whose tensors are not exactly the table's."""
    expected, found = {one.theirs for one in table}, set(checkpoint.names)
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    problems = []
    if missing:
        problems.append(f"{len(missing)} of {len(expected)} tensors are missing: {some(missing)}")
    if unexpected:
        problems.append(f"{len(unexpected)} tensors are unexpected: {some(unexpected)}")
    if problems:
        raise CheckpointError(
            f"{folder}: {'; '.join(problems)}; its config.json and its weights do not belong together"
        )


def check_shapes(table: WeightTable, model: nn.Module, checkpoint: Checkpoint, folder: Path) -> None:
    """Refuse tensors that are no weights, or of another shape than the model's."""
    ours = dict(model.named_parameters())
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
    """The tensor of theirs that a rule makes of our parameters.

    Raises ConfigError where something stands in a parameter's place: an adapter, a quantized matrix.
    """
    missing = [name for name in one.ours if name not in parameters]
    if missing:
        raise ConfigError(
            f"{missing[0]} has another module in its place, so this is no plain model to be saved; take adapters out "
            "(eject), merge them, or save them by themselves (save_adapter)"
        )
    return one.form.join([parameters[name].detach().cpu() for name in one.ours]).contiguous()


def _special_ids(config: ModelConfig) -> dict[str, Any]:
    eos: int | list[int] | None = list(config.eos_ids) if len(config.eos_ids) > 1 else next(iter(config.eos_ids), None)
    ids = {"bos_token_id": config.bos_id, "eos_token_id": eos, "pad_token_id": config.pad_id}
    if config.decoder_start_id is not None:
        ids["decoder_start_token_id"] = config.decoder_start_id
    return ids


def _generation_fields(config: ModelConfig) -> dict[str, Any]:
    ids = {name: value for name, value in _special_ids(config).items() if value is not None}
    return {**(config.generation or {"_from_model_config": True}), **ids}


def dtype_name(dtype: torch.dtype) -> str:
    """As `config.json` spells it."""
    return next(name for name, known in DTYPES.items() if known == dtype)
