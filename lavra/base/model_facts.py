"""What is known of an opened model besides what it can do: where its files come from, its family and its size.

Servers list it, so that people and programs tell one model from another.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Facts of one model; each is empty or 0 where it is not known.

    Attributes:
        digest: 64 hex digits; other ones for other files.
        family: the `model_type` of its configuration (`llama`).
        num_parameters: shared ones once, those of adapters not counted.
        hidden_size: D, channels of a hidden state.
        file_format: of its weights: `safetensors` or `gguf`.
        stored: type or block format of its weights in the files (`bfloat16`, `int8`, `Q4_0`).
    """

    digest: str = ""
    family: str = ""
    num_parameters: int = 0
    hidden_size: int = 0
    file_format: str = ""
    stored: str = ""
