"""`config.json` and `generation_config.json` of a model folder, read and written; no torch is needed.

The settings in a GGUF file are returned as the equivalent fields (`gguf_config.py`).  The weights are opened
in `checkpoint.py`, or as arrays in `stored_weights.py`.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError, ConfigError, InputError
from lavra.base.files import read_json, write_json
from lavra.base.gguf_file import is_gguf
from lavra.model.config import ModelConfig
from lavra.model.families.family import Family
from lavra.model.families.fields import Fields
from lavra.model.families.table import family, family_names
from lavra.model.gguf_config import gguf_config_fields, load_gguf_config
from lavra.model.tensor_names import Checkpoint, named, some
from lavra.model.tensors import FLOATS, open_tensors
from lavra.model.weights import WeightTable

log = logging.getLogger(__name__)

FLOAT_TYPES: Final = ("float32", "bfloat16", "float16")
"""Types that weights are opened in, by their names in `config.json`."""


def load_config(folder: Path | str) -> ModelConfig:
    """The configuration of a model folder; of its weights only the headers are read."""
    folder = Path(folder)
    if is_gguf(folder):
        return load_gguf_config(folder)
    raw = read_config_file(folder)
    refuse_quantized(raw, folder)
    source = family_of(raw, folder)
    checkpoint = named(source, open_tensors(folder))
    return read_config(source, raw, folder, checkpoint)


def read_config_file(folder: Path) -> dict[str, Any]:
    """The raw `config.json` of a folder; for a GGUF file the equivalent fields."""
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
    return read_fields(path)


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a JSON file that came with a model or an adapter.

    Raises:
        CheckpointError: the file is damaged.
    """
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


def refuse_quantized(raw: Mapping[str, Any], folder: Path) -> None:
    """Refuse a folder with packed weights."""
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
    dtype = (common if common in FLOAT_TYPES else "float32") if stated == "auto" else stated
    if dtype not in FLOAT_TYPES:
        raise CheckpointError(f"{fields.where}: dtype is {dtype!r}; supported: {', '.join(FLOAT_TYPES)}")
    if dtype != common and stored:
        log.warning("%s: weights stored as %s are opened as %s; pass a dtype to choose", fields.where, common, dtype)
    return dtype


def _id(fields: Fields, name: str, default: int | None) -> int | None:
    """A token id, or None; old files write a negative id for no token."""
    value = fields.any(name, default)
    return None if value is None or value < 0 else int(value)


def check_names(table: WeightTable, checkpoint: Checkpoint, folder: Path) -> None:
    """Refuse a checkpoint with other tensors than those of the table."""
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
    """Refuse to save a model that would be read back differently."""
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


def _special_ids(config: ModelConfig) -> dict[str, Any]:
    eos: int | list[int] | None = list(config.eos_ids) if len(config.eos_ids) > 1 else next(iter(config.eos_ids), None)
    ids = {"bos_token_id": config.bos_id, "eos_token_id": eos, "pad_token_id": config.pad_id}
    if config.decoder_start_id is not None:
        ids["decoder_start_token_id"] = config.decoder_start_id
    return ids


def _generation_fields(config: ModelConfig) -> dict[str, Any]:
    ids = {name: value for name, value in _special_ids(config).items() if value is not None}
    return {**(config.generation or {"_from_model_config": True}), **ids}
