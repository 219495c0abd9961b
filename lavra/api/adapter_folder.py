"""Folders of adapters, as PEFT and `lavra finetune` write them: their base model, and the files beside them.

PEFT's files name the model an adapter belongs to, but not the meaning of a head's outputs; lavra's card does
(`head` in its config).  No torch is needed to read either; `adapter.py` opens them with torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lavra.adapt.embedding_folder import EmbeddingConfig, parse_pooling
from lavra.adapt.peft_file import CONFIG_FILE, read_adapter_config
from lavra.base.card import CARD_FILE, read_card
from lavra.base.lazy import resolve

HEAD: Final = "head"
"""Field of a card's config that describes a head's task."""


@dataclass(frozen=True, kw_only=True)
class AdapterFolder:
    """An adapter's folder.

    Attributes:
        folder: the folder with `adapter_config.json`.
        base: the place of its model according to `adapter_config.json`; None where the file names no model.
        config: config of lavra's card; empty without a card.
    """

    folder: Path
    base: str | None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The adapter's name in the model."""
        return "default"

    @property
    def head(self) -> Mapping[str, Any] | None:
        """The task of the head trained with it, as the fields of a `TaskConfig`; None where the card names no head."""
        return self.config.get(HEAD)

    def tokenizer_folder(self, base: Path) -> Path:
        """The folder of its tokenizer: its own folder, or that of its model."""
        return self.folder if (self.folder / "tokenizer.json").exists() else base

    @property
    def embeds(self) -> bool:
        """Whether the adapter was trained to embed texts."""
        named = resolve("lavra.tasks.table:task_named")  # tasks read files of samples; few adapters need a task
        return "task" in self.config and bool(self.config["task"] == named("embed").saved_as)

    def embedding(self, usual: EmbeddingConfig) -> EmbeddingConfig:
        """The embedding settings of the model with this adapter: those of its training, or those of its base."""
        if not self.embeds:
            return usual
        return replace(usual, pooling=parse_pooling(self.config["embed"]["pooling"]), normalize=True)


def read_adapter(folder: Path) -> AdapterFolder | None:
    """The adapter in a folder; None for a folder with a whole model, or with anything else."""
    if not (folder / CONFIG_FILE).exists() or (folder / "config.json").exists():
        return None
    raw = read_adapter_config(folder)
    config = read_card(folder).config if (folder / CARD_FILE).exists() else {}
    return AdapterFolder(folder=folder, base=raw.get("base_model_name_or_path"), config=config)
