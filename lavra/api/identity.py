"""What tells one model from another: a hash of all files that decide what it says.

Unlike a card's id it is of the bytes that are there, so weights that were edited in place are another model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lavra.api.load import find_base
from lavra.api.model import TextModel
from lavra.base.errors import InputError
from lavra.base.files import hash_file, hash_json
from lavra.generate.in_process import InProcessModel

_SUFFIXES: Final = frozenset((".safetensors", ".gguf", ".json", ".jinja", ".txt", ".model"))
_SAY_NOTHING: Final = frozenset(("lavra.json", "evaluation.json", "generation_config.json", "trainer_state.json"))


def model_hash(model: TextModel) -> str:
    """16 hex digits of a model in this process: its files, its base's where it is an adapter, its type of numbers.

    Raises:
        InputError: the model was not opened from files.
    """
    if model.folder is None:
        raise InputError("this model was not opened from a folder, so nothing names it; save it and open that folder")
    folders = [model.folder]
    if model.adapter is not None:
        folders.append(find_base(model.adapter))
    files = [model_files(folder) for folder in folders]
    return hash_json([files, str(_dtype(model)), "" if model.held is None else model.held.held])


def model_files(folder: Path) -> dict[str, str]:
    """Hashes of the files that decide what a model says, by name; a card and scores beside them say nothing.

    Args:
        folder: of the model, or its GGUF file.
    """
    if folder.is_file():
        return {"weights": hash_file(folder)}
    found = (path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _SUFFIXES)
    return {path.name: hash_file(path) for path in found if path.name not in _SAY_NOTHING}


def _dtype(model: TextModel) -> object:
    return next(model.port.model.parameters()).dtype if isinstance(model.port, InProcessModel) else None
