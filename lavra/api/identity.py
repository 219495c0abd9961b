"""The identity of a model: a hash of all files that affect its output.

Unlike a card's id, it is a hash of the present bytes, so weights that were edited in place make another model.
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
from lavra.api.native_encoder_port import NativeEncoderPort
from lavra.api.native_headed import NativeHeadedModel
from lavra.api.native_port import NativePort
from lavra.base.errors import InputError
from lavra.base.files import hash_file, hash_json, read_json
from lavra.base.lazy import resolve
from lavra.base.model_facts import ModelFacts
from lavra.base.version import VERSION
from lavra.engine.runners.native_model import NativeModel
from lavra.tasks.predicting.predictor import HeadedPredictor

_SUFFIXES: Final = frozenset((".safetensors", ".gguf", ".json", ".jinja", ".txt", ".model"))
_SAMPLES, _BLOCK = 256, 16_384  # samples read of a large file, and bytes of each
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
    """Hashes of the files that affect a model's output, by name; the card and scores beside them are left out.

    Args:
        folder: folder of the model, or its GGUF file.
    """
    if folder.is_file():
        return {"weights": hash_file(folder)}
    found = (path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _SUFFIXES)
    return {path.name: hash_file(path) for path in found if path.name not in _SAY_NOTHING}


def answer_fingerprint(model: TextModel, *settings: object) -> str:
    """`fp_` and 12 hex digits, which change where the answer to a request with a seed may change.

    Large files are read in samples, so that a server starts at once.  The machine's libraries and threads count, since
    they decide how sums are rounded.

    Args:
        model: model in this process, opened from files.
        settings: settings of the server that may change an answer.
    """
    weights = _native_weights(model)
    if weights is not None:  # the native runner's bits do not depend on the number of threads
        computed = [VERSION, "native", weights.library.isa, _number_type(model)]
    else:
        computed = [VERSION, *resolve("lavra.api.in_torch:computed_by")(model)]
    held = "" if model.held is None else model.held.held
    whole = [_sampled(model), computed, held, [str(one) for one in settings]]
    return f"fp_{hash_json(whole)[:12]}"


def model_facts(model: TextModel) -> ModelFacts:
    """The known facts of a model in this process, without its adapter; large files are read in samples.

    Args:
        model: model opened from files.
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
    """The folder of a model; for an adapter, also its base's folder behind it."""
    if model.folder is None:
        return []
    return [model.folder, *([] if model.adapter is None else [find_base(model.adapter)])]


def _sampled(model: TextModel) -> list[dict[str, str]]:
    return [_sampled_files(one) for one in _folders(model)]


def _sampled_files(folder: Path) -> dict[str, str]:
    files = [folder] if folder.is_file() else sorted(one for one in folder.iterdir() if one.suffix in _SUFFIXES)
    return {one.name: _sampled_hash(one) for one in files if one.name != "lavra.json" and one.is_file()}


def _sampled_hash(path: Path) -> str:
    """Hash of a file's size and of blocks all over it; of all its bytes in a small file."""
    size = path.stat().st_size
    if size <= _SAMPLES * _BLOCK:
        return hash_file(path)
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * (size - _BLOCK) // (_SAMPLES - 1))
            found.update(file.read(_BLOCK))
    return found.hexdigest()[:16]


def _native_weights(model: TextModel) -> NativeModel | None:
    """The weights that the native runner computes; None for any other runner."""
    if isinstance(model.port, NativePort | NativeEncoderPort):
        return model.port.weights
    headed = model.predictor.headed if isinstance(model.predictor, HeadedPredictor) else None
    return headed.model.weights if isinstance(headed, NativeHeadedModel) else None


def _number_type(model: TextModel) -> str:
    """The type of numbers that a model is computed in, for its fingerprint."""
    weights = _native_weights(model)
    if weights is not None:
        return "bfloat16" if weights.half else "float32"
    return str(resolve("lavra.api.in_torch:dtype_of")(model))
