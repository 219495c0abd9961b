"""What tells one model from another: a hash of all files that decide what it says.

Unlike a card's id it is of the bytes that are there, so weights that were edited in place are another model.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from lavra.api.find import find_base
from lavra.api.held_port import HeldPort
from lavra.api.inventory import parameters_in
from lavra.api.model import TextModel
from lavra.api.native_port import NativePort
from lavra.base.errors import InputError
from lavra.base.files import hash_file, hash_json, read_json
from lavra.base.lazy import resolve
from lavra.base.model_facts import ModelFacts
from lavra.base.version import VERSION

_SUFFIXES: Final = frozenset((".safetensors", ".gguf", ".json", ".jinja", ".txt", ".model"))
_SAMPLES, _BLOCK = 256, 16_384  # of a large file that are read, and bytes of each
_SAY_NOTHING: Final = frozenset(("lavra.json", "evaluation.json", "generation_config.json", "trainer_state.json"))


def model_hash(model: TextModel) -> str:
    """16 hex digits of a model in this process: its files, its base's where it is an adapter, its type of numbers.

    Raises:
        InputError: the model was not opened from files.
    """
    if model.folder is None:
        raise InputError("this model was not opened from a folder, so nothing names it; save it and open that folder")
    files = [model_files(folder) for folder in _folders(model)]
    return hash_json([files, _number_type(model), "" if model.held is None else model.held.held])


def model_files(folder: Path) -> dict[str, str]:
    """Hashes of the files that decide what a model says, by name; a card and scores beside them say nothing.

    Args:
        folder: of the model, or its GGUF file.
    """
    if folder.is_file():
        return {"weights": hash_file(folder)}
    found = (path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _SUFFIXES)
    return {path.name: hash_file(path) for path in found if path.name not in _SAY_NOTHING}


def answer_fingerprint(model: TextModel, *settings: object) -> str:
    """`fp_` and 12 hex digits: another one where the answer to a request with a seed may be another.

    Large files are read in samples, so that a server starts at once.  The machine's libraries and threads count, since
    they decide how sums are rounded.

    Args:
        model: in this process, opened from files.
        settings: of the server, that may change an answer.
    """
    if isinstance(model.port, NativePort):  # whose bits no number of threads changes
        computed = [VERSION, "native", model.port.weights.library.isa, _number_type(model)]
    else:
        computed = [VERSION, *resolve("lavra.api.in_torch:computed_by")(model)]
    held = "" if model.held is None else model.held.held
    whole = [_sampled(model), computed, held, [str(one) for one in settings]]
    return f"fp_{hash_json(whole)[:12]}"


def model_facts(model: TextModel) -> ModelFacts:
    """What is known of a model in this process, without its adapter; large files are read in samples.

    Args:
        model: opened from files.
    """
    if model.folder is None:
        return ModelFacts()
    folder = _folders(model)[-1]
    config = model.port.config if isinstance(model.port, HeldPort) else None
    return ModelFacts(
        digest=hashlib.sha256(json.dumps(_sampled(model), sort_keys=True).encode()).hexdigest(),
        family=str(read_json(folder / "config.json")["model_type"]) if config is None else config.family,
        num_parameters=parameters_in(folder) or 0,
        hidden_size=0 if config is None else config.hidden_size,
        file_format="gguf" if folder.is_file() else "safetensors",
        stored="" if model.held is None else model.held.stored,
    )


def _folders(model: TextModel) -> list[Path]:
    """The folder of a model and, of an adapter, behind it that of its base."""
    if model.folder is None:
        return []
    return [model.folder, *([] if model.adapter is None else [find_base(model.adapter)])]


def _sampled(model: TextModel) -> list[dict[str, str]]:
    return [_sampled_files(one) for one in _folders(model)]


def _sampled_files(folder: Path) -> dict[str, str]:
    files = [folder] if folder.is_file() else sorted(one for one in folder.iterdir() if one.suffix in _SUFFIXES)
    return {one.name: _sampled_hash(one) for one in files if one.name != "lavra.json" and one.is_file()}


def _sampled_hash(path: Path) -> str:
    """Of a file's size and of blocks all over it; of all its bytes where they are few."""
    size = path.stat().st_size
    if size <= _SAMPLES * _BLOCK:
        return hash_file(path)
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * (size - _BLOCK) // (_SAMPLES - 1))
            found.update(file.read(_BLOCK))
    return found.hexdigest()[:16]


def _number_type(model: TextModel) -> str:
    """The type of numbers that a model is computed in, as its fingerprint has it."""
    if isinstance(model.port, NativePort):
        return "bfloat16" if model.port.weights.half else "float32"
    return str(resolve("lavra.api.in_torch:dtype_of")(model))
