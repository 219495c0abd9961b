"""Reading a `config.json` field by field, so that no field that changes results is missed.

A family reads every field that it understands here, with its type; a field that was not read is either known to be
harmless or warned about by name.  Settings lavra cannot honour are refused, not dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.model.config import Activation

log = logging.getLogger(__name__)

# Fields that do not change the function a model computes.
HARMLESS: Final = frozenset(
    (
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "cls_token_id",
        "dequantized_from",  # of models that came from a GGUF file
        "directionality",
        "dtype",
        "finetuning_head",  # lavra.model.task_files reads both
        "finetuning_task",
        "gradient_checkpointing",
        "id2label",
        "is_decoder",
        "is_encoder_decoder",
        "is_llama_config",
        "label2id",
        "mask_token_id",
        "model_type",
        "n_ctx",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "reorder_and_upcast_attn",
        "return_dict",
        "sep_token_id",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "task_specific_params",
        "tie_encoder_decoder",
        "tokenizer_class",
        "torch_dtype",
        "transformers.js_config",
        "transformers_version",
        "unk_token_id",
        "use_cache",
        "vocab_file",
    )
)

# The same, as long as they are false.
_HARMLESS_OFF: Final = frozenset(("rope_interleaved", "use_bfloat16", "use_mrope"))

ACTIVATIONS: Final = {
    "relu": Activation.RELU,
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
}
ACTIVATION_NAMES: Final = {
    Activation.RELU: "relu",
    Activation.GELU: "gelu",
    Activation.GELU_TANH: "gelu_new",
    Activation.SILU: "silu",
}


class Fields:
    """The fields of one `config.json`; remembers which fields were read."""

    def __init__(self, raw: Mapping[str, Any], where: str = "config.json") -> None:
        self.raw = raw
        self.where = where
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return self.raw.get(name) is not None

    def any(self, name: str, default: Any = None) -> Any:
        """A field of any type; a field that is null counts as absent."""
        self._read.add(name)
        value = self.raw.get(name)
        return default if value is None else value

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default the field is required."""
        value = self._required(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise CheckpointError(f"{self.where}: {name} is {value!r}; it must be a whole number")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number; without a default the field is required."""
        value = self._required(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"{self.where}: {name} is {value!r}; it must be a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._required(name, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"{self.where}: {name} is {value!r}; it must be true or false")
        return value

    def optional_integer(self, name: str) -> int | None:
        """A whole number or None."""
        return self.integer(name) if self.any(name) is not None else None

    def activation(self, name: str, default: str) -> Activation:
        """The name of a non-linearity."""
        value = self.any(name, default)
        if value not in ACTIVATIONS:
            raise CheckpointError(f"{self.where}: {name} is {value!r}; supported: {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def ids(self, name: str) -> tuple[int, ...]:
        """Token ids: from a single id, a list of ids, or an empty field."""
        value = self.any(name, [])
        return tuple(value) if isinstance(value, list | tuple) else (int(value),)

    def refuse_unless(self, name: str, allowed: Any, why: str) -> None:
        """A setting lavra supports with one value only."""
        value = self.any(name, allowed)
        if value != allowed:
            raise CheckpointError(f"{self.where}: {name} is {value!r}, and lavra supports {allowed!r} only: {why}")

    def warn_unread(self) -> None:
        """Warn about fields that were not read; a name that begins with `_` is a program's note to itself."""
        unread = sorted(
            name
            for name, value in self.raw.items()
            if name not in (*self._read, *HARMLESS)
            and not name.startswith("_")
            and not (name in _HARMLESS_OFF and value is False)
        )
        if unread:
            log.warning("%s: ignored settings lavra does not know: %s", self.where, ", ".join(unread))

    def _required(self, name: str, default: Any) -> Any:
        value = self.any(name, default)
        if value is None:
            raise CheckpointError(
                f"{self.where} has no field {name!r}, which this family needs; add it, or save the model again"
            )
        return value
