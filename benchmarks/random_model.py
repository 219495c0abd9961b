"""A small LLaMA with random weights, for measurements of speed: the text does not matter."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import torch

from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families.table import preset
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer

VOCAB_SIZE = 8192
NUM_FILES = 64  # modules of the standard library: enough text for the vocabulary


def make_model(
    folder: Path, hidden_size: int, num_layers: int, *, max_positions: int = 1024, vocab_size: int = VOCAB_SIZE
) -> Path:
    """Write weights and a tokenizer to a folder; returns the folder."""
    torch.manual_seed(0)
    files = [
        path.read_text(encoding="utf-8", errors="ignore")
        for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:NUM_FILES]
    ]
    train_tokenizer(files, TokenizerConfig(kind="bpe", vocab_size=vocab_size)).save(folder)
    config = preset(
        "llama",
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=hidden_size // 64,
        max_positions=max_positions,
    )
    save_checkpoint(build_model(config), folder)
    return folder
