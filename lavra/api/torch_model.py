"""Opening a model with torch: any family, with or without a task's head, or an adapter over its model.

`lavra.api.load` calls this module, by reference, for models that the native runner does not compute.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from lavra.adapt.embedding_folder import EmbeddingConfig, read_embedding_config
from lavra.api.adapter import open_with_adapter
from lavra.api.adapter_folder import AdapterFolder, read_adapter
from lavra.api.embed import TorchEmbedder
from lavra.api.find import find_base, find_folder
from lavra.api.model import TextModel
from lavra.api.no_writer import NoWriter
from lavra.base.device import pick_device
from lavra.base.errors import InputError
from lavra.generate.in_process import InProcessModel
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.build import Model
from lavra.model.checkpoint import DTYPES
from lavra.model.heads import TaskModel
from lavra.model.task_files import task_in
from lavra.model.task_folder import load_task_model
from lavra.model.transformer import EncoderDecoder
from lavra.quantize.expand import held_weights, open_model, opening_dtype
from lavra.quantize.held import HeldWeights
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tasks.predicting.torch_headed import TorchHeadedModel
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def open_in_torch(
    folder: Path, *, dtype: str | None, device: str | None, base: str | None, expand: bool, reason: str
) -> TextModel:
    """Open a model with torch; arguments and errors as in `lavra.load`; `reason` is logged as the reason for torch."""
    wanted, where = None if dtype is None else DTYPES[dtype], pick_device(device)
    adapter = read_adapter(folder)
    if adapter is not None:
        opened = _with_adapter(adapter, base, wanted, where, expand)
    elif base is not None:
        raise InputError(f"base is the model an adapter belongs to, and {folder} is not an adapter; leave base out")
    elif task_in(folder) is not None:
        chosen = opening_dtype(folder, where) if wanted is None and expand else wanted
        headed = load_task_model(folder, dtype=chosen, device=where)
        opened = _headed(headed, Tokenizer.load(folder), folder, held_weights(headed, folder))
    else:
        model, held = open_model(folder, dtype=wanted, device=where, expand=expand)
        opened = _language_model(model, Tokenizer.load(folder), folder, read_embedding_config(folder), held)
    logger.info("%s: runner torch on %s (%s), weights %s", folder, where, reason, opened.held)
    return opened


def _language_model(
    model: Model,
    tokenizer: Tokenizer,
    folder: Path,
    embedding: EmbeddingConfig,
    held: HeldWeights,
    front: VirtualTokens = NO_VIRTUAL_TOKENS,
    adapter: AdapterFolder | None = None,
) -> TextModel:
    port = InProcessModel(model, model.config, tokenizer, front=front)
    virtual = front.source if isinstance(model, EncoderDecoder) else front.prompt
    embedder = TorchEmbedder(port.model, port.whole_encoding, embedding, virtual=virtual)
    return TextModel(
        port, runner="torch", tokenizer=tokenizer, embedder=embedder, folder=folder, adapter=adapter, held=held
    )


def _headed(
    model: TaskModel,
    tokenizer: Tokenizer,
    folder: Path,
    held: HeldWeights,
    virtual: tuple[int, ...] = (),
    adapter: AdapterFolder | None = None,
) -> TextModel:
    headed = TorchHeadedModel(model, tokenizer, virtual=virtual)
    return TextModel(
        NoWriter(headed.spec),
        runner="torch",
        tokenizer=tokenizer,
        predictor=HeadedPredictor(headed),
        folder=folder,
        adapter=adapter,
        held=held,
    )


def _with_adapter(
    adapter: AdapterFolder, base: str | None, dtype: torch.dtype | None, device: torch.device, expand: bool
) -> TextModel:
    below = find_base(adapter) if base is None else find_folder(base)
    tokenizer = Tokenizer.load(adapter.tokenizer_folder(below))
    model, front = open_with_adapter(adapter, below, tokenizer, dtype=dtype, device=device, expand=expand)
    held = held_weights(model, below)
    if isinstance(model, TaskModel):
        return _headed(model, tokenizer, adapter.folder, held, front.prompt, adapter)
    embedding = adapter.embedding(read_embedding_config(below))
    return _language_model(model, tokenizer, adapter.folder, embedding, held, front, adapter)
