"""What stands in a model's folder beside the model and its tokenizer, and goes where the model goes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

# How a sentence-transformers folder says that texts become vectors.
SIDECARS: Final = (
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling",
    "2_Normalize",
)


def copy_sidecars(source: Path, target: Path) -> None:
    """Copy those a folder has into another."""
    for name in SIDECARS:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        elif (source / name).exists():
            shutil.copy(source / name, target / name)
