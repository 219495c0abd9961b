"""Files in a model's folder beside the model and its tokenizer, which are copied with the model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from lavra.base.files import read_json

# sentence-transformers' settings of turning texts into vectors; beside these, the folders `modules.json` names.
_PATTERNS: Final = ("modules.json", "sentence_*_config.json", "config_sentence_transformers.json")


def copy_sidecars(source: Path, target: Path) -> None:
    """Copy the sidecars of a folder into another."""
    for path in (found for pattern in _PATTERNS for found in source.glob(pattern)):
        shutil.copy(path, target / path.name)
    modules = read_json(source / "modules.json") if (source / "modules.json").exists() else []
    for name in {str(module.get("path", "")) for module in modules} - {""}:
        if Path(name).name == name and (source / name).is_dir():
            shutil.copytree(source / name, target / name)
