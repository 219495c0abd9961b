"""A family's form in llama.cpp: its name there, and the differences of its tensors and settings from ours.

The names of the single tensors are llama.cpp's for all families; `model/gguf_names.py` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lavra.model.config import ModelConfig
from lavra.model.families.gguf_facts import GgufFacts


@dataclass(frozen=True, kw_only=True)
class GgufForm:
    """The form of a family in a GGUF file.

    Attributes:
        architecture: llama.cpp's name of the family.
        fields: settings of a file -> the fields of `config.json`, without special tokens; None if it is written only.
        fused: whether queries, keys and values are one matrix.
        neighbours: whether rotary positions rotate neighbouring channels of a head, where ours rotate its two halves.
        problem: configuration -> reason why llama.cpp would compute another function; empty if it would not.
    """

    architecture: str
    fields: Callable[[GgufFacts], dict[str, Any]] | None = None
    fused: bool = False
    neighbours: bool = False
    problem: Callable[[ModelConfig], str] = lambda config: ""
