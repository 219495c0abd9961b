"""The five families and their variants, in one lazy table: `model_type` -> where its `Family` is."""

from __future__ import annotations

import importlib
from typing import Final

from lavra.base.errors import ConfigError, nearest
from lavra.model.config import ModelConfig
from lavra.model.families.family import Family, Shape

FAMILIES: Final[dict[str, str]] = {
    "gpt2": "lavra.model.families.gpt2:GPT2",
    "llama": "lavra.model.families.llama:LLAMA",
    "mistral": "lavra.model.families.llama:MISTRAL",
    "qwen2": "lavra.model.families.llama:QWEN2",
    "falcon": "lavra.model.families.falcon:FALCON",
    "bert": "lavra.model.families.bert:BERT",
    "roberta": "lavra.model.families.bert:ROBERTA",
    "t5": "lavra.model.families.t5:T5",
}


def family(name: str) -> Family:
    """The family of that `model_type`.

    Raises ConfigError for an unknown one, naming the nearest.
    """
    if name not in FAMILIES:
        raise ConfigError(f"unknown family {name!r}{nearest(name, FAMILIES)}")
    module, attribute = FAMILIES[name].split(":")
    found: Family = getattr(importlib.import_module(module), attribute)
    return found


def preset(
    name: str, *, vocab_size: int, hidden_size: int, num_layers: int, num_heads: int, max_positions: int
) -> ModelConfig:
    """A fresh model's configuration in the shape of its family's paper.

    Inner sizes are multiples of 64.  Change a field with `dataclasses.replace`.

    Raises ConfigError for an unknown family, or heads that do not divide the width.
    """
    shape = Shape(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=num_heads,
        max_positions=max_positions,
    )
    return family(name).preset(shape)
