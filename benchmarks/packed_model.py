"""Models packed as `lavra compress` packs them, without its card."""

from __future__ import annotations

from pathlib import Path

from labelled_tasks import encoder_folder

from lavra.adapt.embedding_folder import keep_embedding_config
from lavra.quantize.folder import load_model, save_model
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.tokens.tokenizer import Tokenizer


def packed_model(model: Path, scheme: str, folder: Path) -> Path:
    """Write a model with weights of a scheme, and its tokenizer; returns the folder."""
    opened, _ = load_model(model)
    quantize_model(opened, SCHEMES[scheme])
    save_model(opened, folder)
    Tokenizer.load(model).save(folder)
    return folder


def int8_encoder(folder: Path) -> Path:
    """Write the encoder of the benchmarks in INT8; returns the folder."""
    packed_model(encoder_folder(), "int8", folder)
    keep_embedding_config(encoder_folder(), folder)
    return folder
