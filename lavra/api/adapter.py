"""Folders of adapters (`adapter_folder.py`) opened over their models with torch, and saved.

A PEFT adapter that was made for a head opens only where its base has that head.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.api.adapter_folder import AdapterFolder
from lavra.base.card import CARD_FILE, write_card
from lavra.base.errors import InputError
from lavra.engine.runners.adapted import front_of
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.heads import add_task_head
from lavra.model.task_config import TaskConfig
from lavra.model.task_files import task_in
from lavra.model.task_folder import load_task_model
from lavra.model.transformer import Encoder
from lavra.quantize.expand import open_model, opening_dtype
from lavra.tokens.tokenizer import Tokenizer


def open_with_adapter(
    adapter: AdapterFolder,
    base: Path,
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype | None,
    device: torch.device,
    expand: bool,
) -> tuple[Any, VirtualTokens]:
    """Open an adapter and its model, with the head that the adapter was trained with.

    Args:
        adapter: the adapter's folder.
        base: folder of the model.
        tokenizer: tokenizer of the adapter.
        dtype: type of the model's weights; the adapter's are float32.
        device: device of both.
        expand: whether to expand the model's weights, as in `open_model`.

    Returns:
        (a `TaskModel` or a language model, the virtual tokens that stand in front of every text).

    Raises:
        CheckpointError: the adapter does not belong to the model.
        InputError: virtual tokens for an encoder that fills masks.
    """
    head = None if adapter.head is None else TaskConfig.from_facts(adapter.head, where=str(adapter.folder / CARD_FILE))
    model = _base_model(head, base, tokenizer, dtype, device, expand)
    load_adapter(model, adapter.folder, adapter.name)
    model.to(device).eval()
    front = front_of(model, adapter.name)
    if front != NO_VIRTUAL_TOKENS and isinstance(model, Encoder) and not adapter.embeds:
        raise InputError(
            f"{adapter.folder} is a soft prompt of an encoder without a task's head, and names no task; "
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
    with torch.random.fork_rng(devices=[]):  # the adapter brings the head; the weights drawn here are overwritten
        return add_task_head(backbone, head, pad_id=pad)


def write_adapter(model: nn.Module, adapter: AdapterFolder, folder: Path, parents: Mapping[str, str]) -> None:
    """Save a loaded adapter as a folder that can be loaded again."""
    save_adapter(model, adapter.name, folder, base=adapter.base)
    write_card(folder, kind="adapter", parents=parents, config=adapter.config)
