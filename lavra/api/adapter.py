"""Folders of adapters, as PEFT and `lavra finetune` write them: what they stand on, and what goes with them.

PEFT's files say which model an adapter belongs to, but not what the outputs of a task's head mean: lavra's card does
(`head` in its config).  An adapter of PEFT's that was made for a head opens where its base has that head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lavra.adapt.embedding_folder import EmbeddingConfig, parse_pooling
from lavra.adapt.peft_read import load_adapter, read_adapter_config
from lavra.adapt.peft_write import CONFIG_FILE, save_adapter
from lavra.base.card import CARD_FILE, read_card, write_card
from lavra.base.errors import InputError
from lavra.engine.runners.adapted import front_of
from lavra.generate.front import NO_FRONT, Front
from lavra.model.heads import TaskConfig, add_task_head
from lavra.model.task_folder import load_task_model, task_in
from lavra.model.transformer import Encoder
from lavra.quantize import open_model
from lavra.quantize.expand import opening_dtype
from lavra.tasks.embed import EMBED
from lavra.tokens.tokenizer import Tokenizer

HEAD = "head"
"""Field of a card's config that says what a head is for."""


@dataclass(frozen=True, kw_only=True)
class AdapterFolder:
    """An adapter on disk.

    Attributes:
        folder: with `adapter_config.json`.
        base: where `adapter_config.json` finds the model it belongs to; None where it does not say.
        config: of lavra's card, if it has one.
    """

    folder: Path
    base: str | None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the adapter is called in the model."""
        return "default"

    @property
    def head(self) -> TaskConfig | None:
        """What the head that was trained with it is for, where the card says so."""
        found = self.config.get(HEAD)
        return None if found is None else TaskConfig.from_facts(found, where=str(self.folder / CARD_FILE))

    def embedding(self, usual: EmbeddingConfig) -> EmbeddingConfig:
        """How texts are embedded with it: as it was trained, or as with its base."""
        if self.config.get("task") != EMBED.saved_as:
            return usual
        return replace(usual, pooling=parse_pooling(self.config["embed"]["pooling"]), normalize=True)


def read_adapter(folder: Path) -> AdapterFolder | None:
    """The adapter a folder holds; None where it holds a whole model, or nothing of the kind."""
    if not (folder / CONFIG_FILE).exists() or (folder / "config.json").exists():
        return None
    raw = read_adapter_config(folder)
    config = read_card(folder).config if (folder / CARD_FILE).exists() else {}
    return AdapterFolder(folder=folder, base=raw.get("base_model_name_or_path"), config=config)


def open_with_adapter(
    adapter: AdapterFolder,
    base: Path,
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype | None,
    device: torch.device,
    expand: bool,
) -> tuple[Any, Front]:
    """The model an adapter stands on, with the head it was trained with, and the adapter in it.

    Args:
        adapter: on disk.
        base: folder of the model.
        tokenizer: the adapter's.
        dtype: of the model's weights; the adapter's are float32.
        device: where both go.
        expand: the model's weights, as `open_model` does.

    Returns:
        (a `TaskModel` or a language model, the virtual tokens that stand in front of every text).

    Raises:
        CheckpointError: the two do not belong together.
        InputError: virtual tokens for an encoder that fills masks.
    """
    model = _base_model(adapter.head, base, tokenizer, dtype, device, expand)
    load_adapter(model, adapter.folder, adapter.name)
    model.to(device).eval()
    front = front_of(model, adapter.name)
    if front != NO_FRONT and isinstance(model, Encoder) and adapter.config.get("task") != EMBED.saved_as:
        raise InputError(
            f"{adapter.folder} is a soft prompt of an encoder without a task's head, and says of no task it is for; "
            "put virtual_ids in front of token ids yourself (lavra.adapt), or use another kind of adapter"
        )
    return model, front


def _base_model(
    head: TaskConfig | None,
    base: Path,
    tokenizer: Tokenizer,
    dtype: torch.dtype | None,
    device: torch.device,
    expand: bool,
) -> nn.Module:
    if task_in(base) is not None:
        chosen = opening_dtype(base, device) if dtype is None and expand else dtype
        model = load_task_model(base, dtype=chosen, device=device)
        if head is None or (model.task.task, model.task.labels) == (head.task, head.labels):
            return model
        backbone: Any = model.backbone
    else:
        backbone, _ = open_model(base, dtype=dtype, device=device, expand=expand)
    if head is None:
        return backbone  # type: ignore[no-any-return]
    pad = tokenizer.pad_id if tokenizer.pad_id is not None else tokenizer.eos_id
    with torch.random.fork_rng(devices=[]):  # the adapter brings the head; what is drawn here is overwritten
        return add_task_head(backbone, head, pad_id=pad)


def write_adapter(model: nn.Module, adapter: AdapterFolder, folder: Path, parents: Mapping[str, str]) -> None:
    """Save an adapter that was loaded as a folder that loads again."""
    save_adapter(model, adapter.name, folder, base=adapter.base)
    write_card(folder, kind="adapter", parents=parents, config=adapter.config)
