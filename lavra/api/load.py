"""`lavra.load`: open a model from a folder, or from the Hugging Face hub when the user names one."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from lavra.api.embed import TorchEmbedder
from lavra.api.embedding_config import read_embedding_config
from lavra.api.hub import fetch, is_hub_id
from lavra.api.model import TextModel
from lavra.base.device import pick_device
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.generate.in_process import InProcessModel
from lavra.model.checkpoint import DTYPES
from lavra.quantize import load_model
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def load(path: str | Path, *, dtype: str | torch.dtype | None = None, device: str | None = None) -> TextModel:
    """Open a model of any family.

    Args:
        path: a Hugging Face folder, or `owner/model` on the Hugging Face hub (the only case that uses the network).
        dtype: `float32`, `bfloat16` or `float16`; the checkpoint's own by default.
        device: `cpu`, `cuda`, `cuda:1`, …; CUDA by default where there is one, else the CPU.

    Returns:
        A `TextModel`; its `.runner` says what computes.

    Raises:
        InputError: there is no such folder or model, or no such device.
        CheckpointError: the folder cannot be opened: unsupported, incomplete, damaged or unsafe.
    """
    folder = find_folder(str(path))
    wanted = parse_dtype(dtype) if isinstance(dtype, str) else dtype
    model, config = load_model(folder, dtype=wanted, device=pick_device(device))
    tokenizer = Tokenizer.load(folder)
    port = InProcessModel(model, config, tokenizer)
    logger.info("%s: %s on %s, runner torch", folder, config.family, next(model.parameters()).device)
    embedder = TorchEmbedder(port.model, port.reading, read_embedding_config(folder))
    return TextModel(port, runner="torch", tokenizer=tokenizer, embedder=embedder, folder=folder)


def find_folder(name: str) -> Path:
    """The folder a name means: a path, or a hub id to be fetched.

    Raises:
        InputError: it is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InputError(f"{name} is a file; give the folder that holds config.json and the weights")
    if is_hub_id(name):
        return fetch(name)
    raise InputError(f"{name} is neither a folder here nor a hub id of the form owner/model; check the path")


def parse_dtype(name: str) -> torch.dtype:
    """A dtype by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype={name!r} is unknown{nearest(name, DTYPES)}")
    return DTYPES[name]
