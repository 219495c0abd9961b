"""The known facts of an opened model besides its abilities: origin of its files, family and size.

Servers list them, so that people and programs can tell models apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Facts of one model; a fact is empty or 0 where it is not known.

    Attributes:
        digest: 64 hex digits; different files have different digests.
        family: the `model_type` of its configuration (`llama`).
        num_parameters: parameters; shared parameters count once, and adapters' do not count.
        hidden_size: D, channels of a hidden state.
        file_format: format of its weights: `safetensors` or `gguf`.
        stored: type or block format of its weights in the files (`bfloat16`, `int8`, `Q4_0`).
    """

    digest: str = ""
    family: str = ""
    num_parameters: int = 0
    hidden_size: int = 0
    file_format: str = ""
    stored: str = ""
