"""The settings in the head of a GGUF file, read one by one, so that no setting that changes results is missed.

The keys are those of GGUF's specification and of llama.cpp's `gguf-py/gguf/constants.py`.  The values become fields
of a Hugging Face `config.json`, which the family reads as it reads any other.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import GgufFile

log = logging.getLogger(__name__)

# Keys of models of other shapes; a file that sets one computes something that lavra does not.
_OTHER_SHAPES: Final = (
    "expert_count",
    "attention.sliding_window",
    "attention.clamp_kqv",
    "attention.scale",
    "attention.max_alibi_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
    "leading_dense_block_count",
)
# Keys that do not change the function a model computes, or that the tokenizer's reader reads.
_HARMLESS: Final = frozenset(("rope.scaling.finetuned", "tensor_data_layout", "pooling_type", "attention.causal"))


class GgufFacts:
    """The settings of the model in one file; remembers which settings were read."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self._read: set[str] = set()

    @property
    def where(self) -> str:
        """The path of the file, for messages."""
        return str(self.file.path)

    def any(self, key: str) -> Any:
        """A value of any type; None if the key is missing."""
        self._read.add(key)
        return self.file.of_model(key)

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; without a default the key is required."""
        value = self._required(key, default)
        if isinstance(value, list) and value and all(one == value[0] for one in value):
            value = value[0]  # some converters write a value for each layer
        if isinstance(value, bool) or not isinstance(value, int):
            raise CheckpointError(
                f"{self.where}: {self.file.architecture}.{key} is {str(value)[:60]}; lavra reads one whole number, "
                "the same for every layer"
            )
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number; without a default the key is required."""
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"{self.where}: {self.file.architecture}.{key} is {value!r}; it must be a number")
        return float(value)

    def has(self, tensor: str) -> bool:
        """Whether the file has a tensor of that name."""
        return tensor in self.file.tensors

    def rows(self, tensor: str) -> int:
        """Rows of a tensor.

        Raises CheckpointError if the tensor is missing.
        """
        if tensor not in self.file.tensors:
            raise CheckpointError(f"{self.where} has no tensor {tensor}; it is not a whole model: fetch it again")
        return self.file.tensors[tensor].shape[0]

    def finish(self) -> None:
        """Refuse settings that lavra does not support, and warn about settings that were not read."""
        prefix = f"{self.file.architecture}."
        given = {key.removeprefix(prefix): value for key, value in self.file.values.items() if key.startswith(prefix)}
        for key in _OTHER_SHAPES:
            if key not in self._read and given.get(key):
                raise CheckpointError(
                    f"{self.where}: {prefix}{key} is {given[key]}; lavra's {self.file.architecture} has no such "
                    "thing, and would compute something else: run the file in llama.cpp"
                )
        unread = sorted(key for key in given if key not in self._read and key not in _HARMLESS)
        if unread:
            log.warning("%s: ignored settings lavra does not know: %s", self.where, ", ".join(unread))

    def _required(self, key: str, default: Any) -> Any:
        value = self.any(key)
        if value is None:
            value = default
        if value is None:
            raise CheckpointError(
                f"{self.where} has no key {self.file.architecture}.{key}, which this family needs; convert the model "
                "again"
            )
        return value


def shape_fields(facts: GgufFacts) -> dict[str, Any]:
    """The settings that the decoders with rotary positions share.

    Raises:
        CheckpointError: lavra does not support the shape of the heads.
    """
    hidden, heads = facts.integer("embedding_length"), facts.integer("attention.head_count")
    channels = facts.integer("attention.key_length", hidden // heads)
    turned = facts.integer("rope.dimension_count", channels)
    if turned != channels or facts.integer("attention.value_length", channels) != channels:
        raise CheckpointError(
            f"{facts.where}: heads of {channels} channels, of which {turned} are turned; lavra turns whole "
            "heads, whose keys and values are of one size"
        )
    return {
        "vocab_size": vocabulary(facts),
        "hidden_size": hidden,
        "num_hidden_layers": facts.integer("block_count"),
        "num_attention_heads": heads,
        "max_position_embeddings": facts.integer("context_length"),
        "head_dim": channels,
        "tie_word_embeddings": not facts.has("output.weight"),
    }


def vocabulary(facts: GgufFacts) -> int:
    """Rows of the embedding, which may be more than the tokenizer has."""
    facts.any("vocab_size")
    return facts.rows("token_embd.weight")
