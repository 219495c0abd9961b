"""The part of PEFT's `adapter_config.json` that all methods share (https://github.com/huggingface/peft, 0.21).

The adapted layers are not read from `target_modules`: the tensors beside the file name them exactly.
Settings that lavra cannot follow or does not know are refused by name, unless they are off.
"""

from __future__ import annotations

from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.model.families.fields import Fields

# Fields without effect on the function of a trained adapter, and fields that the tensors replace.
_HARMLESS: Final = frozenset(
    (
        "auto_mapping",
        "base_model_name_or_path",
        "encoder_hidden_size",
        "eva_config",
        "ensure_weight_tying",
        "exclude_modules",
        "fan_in_fan_out",
        "feedforward_modules",
        "inference_mode",
        "init_ia3_weights",
        "init_weights",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "megatron_core",
        "modules_to_save",
        "num_attention_heads",
        "num_layers",
        "num_transformer_submodules",
        "peft_type",
        "peft_version",
        "prefix_projection",
        "prompt_tuning_init",
        "prompt_tuning_init_text",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
        "token_dim",
        "tokenizer_kwargs",
        "tokenizer_name_or_path",
    )
)


def refuse_unread(fields: Fields, read: set[str]) -> None:
    """Refuse settings that are on and were not read; an empty or false setting is off.

    Raises:
        CheckpointError: a setting is on and was not read; the message names all of them.
    """
    known = _HARMLESS | read
    unread = sorted(name for name, value in fields.raw.items() if name not in known and _on(value))
    if unread:
        settings = ", ".join(f"{name}={fields.raw[name]!r}" for name in unread)
        raise CheckpointError(
            f"{fields.where}: lavra cannot honour {settings}, so the adapter would compute something else; "
            "train it without, or merge it into its model with PEFT (merge_and_unload, save_pretrained) and open that"
        )


def whole_modules(fields: Fields) -> tuple[str, ...]:
    """The names in `modules_to_save`; CheckpointError for anything but a list of names."""
    names = fields.any("modules_to_save", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{fields.where}: modules_to_save is {names!r}; it must be a list of names")
    return tuple(names)


def _on(value: Any) -> bool:
    return value is not None and value is not False and value != {} and value != []


def shared_fields(kind: str, base: str | None, task_type: str | None) -> dict[str, Any]:
    """The fields that every `adapter_config.json` has."""
    return {
        "peft_type": kind,
        "task_type": task_type,
        "base_model_name_or_path": base,
        "revision": None,
        "inference_mode": True,
    }


def virtual_fields(num_tokens: int, *, token_dim: int, heads: int, layers: int) -> dict[str, Any]:
    """The fields of prompts and prefixes."""
    return {
        "num_virtual_tokens": num_tokens,
        "token_dim": token_dim,
        "num_attention_heads": heads,
        "num_layers": layers,
    }
