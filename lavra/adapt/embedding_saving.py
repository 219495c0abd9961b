"""Saving a trained sentence encoder as a folder of sentence-transformers (`embedding_folder.py`)."""

from __future__ import annotations

from pathlib import Path

from lavra.adapt.embedding import EmbeddingModel
from lavra.adapt.embedding_folder import EmbeddingConfig, write_embedding_config
from lavra.quantize.folder import save_model
from lavra.tokens.tokenizer import Tokenizer


def save_embedding_model(
    model: EmbeddingModel, tokenizer: Tokenizer, folder: Path, *, max_tokens: int | None = None, lowercase: bool = False
) -> None:
    """Save a sentence encoder and its tokenizer as a folder that lavra, sentence-transformers and `AutoModel` open.

    Args:
        model: trained model.
        tokenizer: tokenizer of the model.
        folder: folder to write, created where it is missing; other files in it stay.
        max_tokens: most tokens of a text that it may read, as in training; None is the model's context.
        lowercase: whether texts are lowercased first.

    Raises:
        ConfigError: the family's `config.json` cannot express the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model.backbone, folder)
    tokenizer.save(folder)
    config = EmbeddingConfig(
        pooling=model.pooling, normalize=model.normalize, max_tokens=max_tokens, lowercase=lowercase
    )
    write_embedding_config(folder, config)
