"""Saving a natively opened model: its files are copied, since its weights never change; no torch is needed.

A copy keeps the folder's form.  Weights that are computed in another type than their stored type, and
a GGUF file's weights, are written anew by torch (`in_torch.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from lavra.adapt.embedding_folder import keep_embedding_config
from lavra.adapt.peft_file import CONFIG_FILE, TENSOR_FILE
from lavra.api.adapter_folder import AdapterFolder
from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.model.lineage import model_parents, source_facts
from lavra.model.tensors import STEM
from lavra.quantize.folder_facts import NATIVE_TYPE
from lavra.quantize.held import HeldWeights
from lavra.tokens.tokenizer import Tokenizer

_CONFIGS: Final = ("config.json", "generation_config.json")


def saved_by_copying(
    folder: Path, tokenizer: Tokenizer, adapter: AdapterFolder | None, held: HeldWeights, family: str
) -> Callable[[Path], Path] | None:
    """The function that saves a natively opened model, where a copy of its files is enough; else None."""
    if adapter is None and (folder.is_file() or held.held != held.stored):
        return None
    return partial(save_copy, folder, tokenizer=tokenizer, adapter=adapter, family=family)


def save_copy(folder: Path, target: Path, *, tokenizer: Tokenizer, adapter: AdapterFolder | None, family: str) -> Path:
    """Write an equal folder and its card, atomically; an existing folder is replaced.

    Args:
        folder: folder of the model or of the adapter.
        target: folder to write.
        tokenizer: tokenizer of the model.
        adapter: adapter in the folder, if any.
        family: family of the model.

    Raises:
        InputError: the target holds something that is not a model.
    """
    refuse_foreign(target)
    parents = model_parents(folder)
    with atomic_folder(target) as work:
        tokenizer.save(work)
        if adapter is not None:
            _copy(folder, work, (CONFIG_FILE, TENSOR_FILE))
            write_card(work, kind="adapter", parents=parents, config=adapter.config)
            return target
        weights = (path.name for stem in (STEM, NATIVE_TYPE) for path in folder.glob(f"{stem}*.safetensors*"))
        _copy(folder, work, (*_CONFIGS, *weights))
        keep_embedding_config(folder, work)
        write_card(work, kind="model", parents=parents, config={"family": family, **source_facts(folder)})
    return target


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def refuse_foreign(target: Path) -> None:
    """Refuse to replace a folder that is not a model or adapter: saving replaces it whole; raises InputError."""
    is_ours = any((target / name).exists() for name in ("config.json", CONFIG_FILE))
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not is_ours)):
        raise InputError(f"{target} exists and is not a model folder, and saving would replace it; name another folder")
