"""What llama.cpp has of a family: its word for it, and where its tensors and its settings differ from ours.

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
    """One family in a GGUF file.

    Attributes:
        architecture: llama.cpp's word for it.
        fields: what a file says -> the fields of `config.json`, but for special tokens; None where it is written only.
        fused: whether queries, keys and values are one matrix.
        neighbours: whether rotary positions turn neighbouring channels of a head, where ours turn its two halves.
        problem: configuration -> why llama.cpp would compute something else; empty where it would not.
    """

    architecture: str
    fields: Callable[[GgufFacts], dict[str, Any]] | None = None
    fused: bool = False
    neighbours: bool = False
    problem: Callable[[ModelConfig], str] = lambda config: ""
