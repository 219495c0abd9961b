"""The models of a workspace: their kinds, their origins, the models made from them, and their removal.

No model is opened: cards, `config.json` and the heads of weight files are enough, so that `lavra list` answers at once.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from lavra.base.card import Card
from lavra.base.errors import CheckpointError, InputError, nearest
from lavra.base.files import folder_bytes, read_json
from lavra.base.gguf_file import SUFFIX, read_gguf
from lavra.base.names import ModelNames, NamedModel
from lavra.base.workspace import Workspace

_REMOVED: Final = ".removed-"  # beginning of the names of folders that are being deleted
_PACKED_BITS: Final = {"U8": 8, "I32": 32}  # integers that hold several weights each
_SCALES: Final = ("scale", "zero_point", "shape")
# Roles of parents that are models, in lavra's cards.
_MODEL_ROLES: Final = ("model", "teacher", "student", "pretrain")
_TEXT_ROLES: Final = ("tokens", "corpus", "tokenizer")


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model of a workspace, as an entry of the list.

    Attributes:
        name: name of the model.
        folder: folder of the model.
        kind: `model`, `adapter`, `gguf` or `onnx`.
        family: its `model_type` or architecture, with the task of its head; empty where no file names it.
        num_parameters: number of its weights; None where no file has it.
        num_bytes: size on the disk.
        created: time of its making, ISO 8601; empty where no file has it.
        source: its origin: a model's name, or another origin; empty where no file names it.
    """

    name: str
    folder: Path
    kind: str
    family: str
    num_parameters: int | None
    num_bytes: int
    created: str
    source: str

    def as_mapping(self) -> dict[str, Any]:
        """The entry in JSON's types."""
        return {**vars(self), "folder": str(self.folder)}


def list_models(workspace: Workspace) -> list[ModelEntry]:
    """Every model of a workspace, the newest first."""
    models = ModelNames(workspace).models
    by_id = {one.card.id: one.name for one in models if one.card is not None}
    return [_entry(one, by_id) for one in models]


def _entry(model: NamedModel, by_id: Mapping[str, str]) -> ModelEntry:
    card, folder = model.card, model.folder
    return ModelEntry(
        name=model.name,
        folder=folder,
        kind=model.kind,
        family=_family(folder),
        num_parameters=parameters_in(folder),
        num_bytes=folder_bytes(folder),
        created="" if card is None else card.created,
        source="" if card is None else _source(card, by_id),
    )


def _family(folder: Path) -> str:
    if (folder / "config.json").exists():
        raw = _object(folder / "config.json")
        task = raw.get("finetuning_task")
        return f"{raw.get('model_type', '')}{f', {task}' if task else ''}"
    if (folder / "adapter_config.json").exists():
        return str(_object(folder / "adapter_config.json").get("peft_type", "")).lower()
    files = sorted(folder.glob(f"*{SUFFIX}"))
    try:
        return read_gguf(files[0]).architecture if files else ""
    except CheckpointError:
        return ""


def _source(card: Card, by_id: Mapping[str, str]) -> str:
    ids = list(dict.fromkeys(card.parents[role] for role in _MODEL_ROLES if role in card.parents))
    blocks = card.config.get("dequantized_from")
    if ids:
        elsewhere = "a GGUF file" if blocks else "a model elsewhere"
        return " and ".join(by_id.get(one, elsewhere) for one in ids) + (f" ({blocks})" if blocks else "")
    return "text" if any(role in card.parents for role in _TEXT_ROLES) else ""


def parameters_in(folder: Path) -> int | None:
    """Weights in the files of a folder or in a GGUF file, packed matrices included; None where no file has them."""
    total = 0
    files = sorted(folder.glob("*.safetensors"))
    try:
        for path in files:
            bits = _object(folder / "config.json").get("quantization_config", {}).get("bits")
            total += sum(_weights(name, entry, bits) for name, entry in _header(path).items())
        for path in [folder] if folder.is_file() else sorted(folder.glob(f"*{SUFFIX}")):
            total += sum(tensor.num_values for tensor in read_gguf(path).tensors.values())
    except (CheckpointError, ValueError, KeyError, TypeError, OSError):
        return None
    return total or None


def _weights(name: str, entry: Mapping[str, Any], bits: int | None) -> int:
    count, kind = int(prod(entry["shape"])), entry["dtype"]
    if name.endswith(_SCALES):
        return 0
    return count * _PACKED_BITS[kind] // (bits or 4) if kind in _PACKED_BITS else count


def _header(path: Path) -> dict[str, Any]:
    """The head of a safetensors file (`lavra.model.tensors` checks it; this function must not load torch)."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        found: dict[str, Any] = json.loads(file.read(length))
    found.pop("__metadata__", None)
    return found


def _object(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty for a missing or damaged file, because the verbs that open the file report that."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A planned removal of a model.

    Attributes:
        name: name of the model, as given.
        folder: folder of the model.
        num_bytes: size on the disk.
        dependents: names of models that were made from it.
    """

    name: str
    folder: Path
    num_bytes: int
    dependents: tuple[str, ...]


def plan_removal(name: str, workspace: Workspace) -> Removal:
    """Plan the removal of a model, and find the models that were made from it.

    Args:
        name: name of a model of the workspace, or the path of its folder there.
        workspace: workspace of the models.

    Raises:
        InputError: the workspace has no such model.
    """
    names = ModelNames(workspace)
    path = Path(name).expanduser()
    inside = path.is_dir() and path.resolve().parent == workspace.models.resolve()
    folder = names.find(path.name if inside else name)
    if folder is None:
        raise InputError(f"{workspace.path} has no model called {name!r}{nearest(name, names.known())}")
    return Removal(
        name=name,
        folder=folder,
        num_bytes=folder_bytes(folder),
        dependents=tuple(one.name for one in names.models if one.folder != folder and _stands_on(one, folder)),
    )


def _stands_on(model: NamedModel, folder: Path) -> bool:
    own = NamedModel(name="", folder=folder).card
    if own is not None and model.card is not None and own.id in model.card.parents.values():
        return True
    base = _object(model.folder / "adapter_config.json").get("base_model_name_or_path")
    return isinstance(base, str) and Path(base).expanduser().resolve() == folder.resolve()


def remove_model(removal: Removal, workspace: Workspace) -> None:
    """Remove a model and its names: its folder is renamed and then deleted, so that no reader ever sees half of it.

    Raises:
        InputError: another process writes to the workspace.
    """
    with workspace.lock():
        names = ModelNames(workspace)
        gone = removal.folder.with_name(_REMOVED + removal.folder.name)
        shutil.rmtree(gone, ignore_errors=True)  # a folder that a killed removal left
        os.rename(removal.folder, gone)
        names.forget(removal.folder)
        shutil.rmtree(gone)


def sizes(entries: Sequence[ModelEntry]) -> int:
    """Bytes of all entries together."""
    return sum(one.num_bytes for one in entries)
