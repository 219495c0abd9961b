"""PEFT's `adapter_config.json` and our configurations, both ways (https://github.com/huggingface/peft, 0.21).

Which layers are adapted is not read from `target_modules`: the tensors beside it say so, and cannot be misread.
Settings lavra cannot honour are refused by name, and so are settings it has never heard of unless they are off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lavra.adapt.config import (
    AdapterConfig,
    After,
    BottleneckConfig,
    IA3Config,
    LoraConfig,
    PrefixConfig,
    PromptConfig,
)
from lavra.base.errors import CheckpointError, nearest
from lavra.model.config import Activation
from lavra.model.families.fields import Fields

BOTTLENECK: Final = "LAVRA_BOTTLENECK"
"""The `peft_type` of bottleneck adapters, for which PEFT has no form."""

KINDS: Final = ("LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING", BOTTLENECK)

# Fields that say nothing about the function an adapter computes once it is trained, or that the tensors say better.
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
# Ways to start that leave the base model as it is; the others subtract from it what the adapter starts with.
_PLAIN_INITS: Final = (True, False, "gaussian", "eva", "orthogonal")


def kind_of(fields: Fields) -> str:
    """The `peft_type`; CheckpointError for one lavra does not know."""
    kind = fields.any("peft_type")
    if kind not in KINDS:
        raise CheckpointError(f"{fields.where}: peft_type is {kind!r}{nearest(str(kind), KINDS)}")
    return str(kind)


def read_lora(fields: Fields, targets: tuple[str, ...], saved: tuple[str, ...]) -> LoraConfig:
    """A LoRA configuration on these layers of ours.

    Raises:
        CheckpointError: a setting that lavra cannot honour.
    """
    fields.refuse_unless("bias", "none", "other biases change the base model, so adapters could not share it")
    init = fields.any("init_lora_weights", True)
    if init not in _PLAIN_INITS:
        raise CheckpointError(
            f"{fields.where}: init_lora_weights is {init!r}, which changes the base model; in PEFT save it with "
            "path_initial_model_for_weight_conversion, which makes a plain LoRA of it"
        )
    config = LoraConfig(
        rank=fields.integer("r", 8),
        alpha=fields.number("lora_alpha", 8),
        dropout=fields.number("lora_dropout", 0.0),
        targets=targets,
        rslora=fields.flag("use_rslora", False),
        dora=fields.flag("use_dora", False),
        rank_pattern={name: int(one) for name, one in _numbers(fields, "rank_pattern").items()},
        alpha_pattern=_numbers(fields, "alpha_pattern"),
        modules_to_save=saved,
    )
    refuse_unread(fields, {"bias", "init_lora_weights", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora"})
    return config


def read_ia3(fields: Fields, targets: tuple[str, ...], inner: tuple[str, ...], saved: tuple[str, ...]) -> IA3Config:
    """An IA3 configuration on these layers of ours, `inner` those whose inputs are multiplied."""
    refuse_unread(fields, set())
    return IA3Config(targets=targets, feed_forward=inner, modules_to_save=saved)


def read_prompt(fields: Fields, saved: tuple[str, ...]) -> PromptConfig:
    """A soft prompt's configuration; where it started is in its rows."""
    num_tokens = fields.integer("num_virtual_tokens")
    refuse_unread(fields, {"num_virtual_tokens"})
    return PromptConfig(num_tokens=num_tokens, modules_to_save=saved)


def read_prefix(fields: Fields, saved: tuple[str, ...]) -> PrefixConfig:
    """A prefix's configuration; PEFT saves what its MLP, if any, gives."""
    num_tokens = fields.integer("num_virtual_tokens")
    refuse_unread(fields, {"num_virtual_tokens"})
    return PrefixConfig(num_tokens=num_tokens, modules_to_save=saved)


def read_bottleneck(fields: Fields, saved: tuple[str, ...]) -> BottleneckConfig:
    """Our own form."""
    after, activation = fields.any("after", []), fields.any("activation", "gelu")
    known = [one.value for one in After]
    if not isinstance(after, list) or not set(after) <= set(known):
        raise CheckpointError(f"{fields.where}: after is {after!r}; known: {', '.join(known)}")
    if activation not in {one.value for one in Activation}:
        raise CheckpointError(f"{fields.where}: activation is {activation!r}{nearest(str(activation), _names())}")
    config = BottleneckConfig(
        size=fields.integer("size"),
        after=tuple(After(one) for one in after),
        activation=Activation(activation),
        modules_to_save=saved,
    )
    refuse_unread(fields, {"after", "activation", "size"})
    return config


def refuse_unread(fields: Fields, read: set[str]) -> None:
    """Refuse what is set and nobody asked for; an empty or false setting is off."""
    known = _HARMLESS | read | {"rank_pattern", "alpha_pattern"}
    unread = sorted(name for name, value in fields.raw.items() if name not in known and _on(value))
    if unread:
        told = ", ".join(f"{name}={fields.raw[name]!r}" for name in unread)
        raise CheckpointError(
            f"{fields.where}: lavra cannot honour {told}, so the adapter would compute something else; "
            "train it without, or merge it into its model with PEFT (merge_and_unload, save_pretrained) and open that"
        )


def whole_modules(fields: Fields) -> tuple[str, ...]:
    """`modules_to_save`; CheckpointError where it is no list of names."""
    names = fields.any("modules_to_save", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{fields.where}: modules_to_save is {names!r}; it must be a list of names")
    return tuple(names)


def _numbers(fields: Fields, name: str) -> dict[str, float]:
    value = fields.any(name, {})
    if not isinstance(value, dict) or not all(type(one) in (int, float) for one in value.values()):
        raise CheckpointError(f"{fields.where}: {name} is {value!r}; it must give a number to each pattern")
    return value


def _on(value: Any) -> bool:
    return value is not None and value is not False and value != {} and value != []


def _names() -> list[str]:
    return [one.value for one in Activation]


def shared_fields(kind: str, config: AdapterConfig, base: str | None, task_type: str | None) -> dict[str, Any]:
    """What every `adapter_config.json` has."""
    return {
        "peft_type": kind,
        "task_type": task_type,
        "base_model_name_or_path": base,
        "revision": None,
        "inference_mode": True,
    }


def lora_fields(
    config: LoraConfig, scales: Mapping[str, tuple[int, float]], targets: list[str], transposed: bool
) -> dict[str, Any]:
    """The fields of LoRA.

    Args:
        config: of the adapter.
        scales: their module -> rank and scale it is written with.
        targets: `target_modules`.
        transposed: whether any of their modules stores (in, out).
    """
    wanted = {name: (rank, _alpha(config, rank, scale)) for name, (rank, scale) in scales.items()}
    pairs = list(wanted.values())
    rank, alpha = max(dict.fromkeys(pairs), key=pairs.count)
    return {
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": config.dropout,
        "target_modules": targets,
        "fan_in_fan_out": transposed,
        "bias": "none",
        "use_rslora": config.rslora,
        "use_dora": config.dora,
        "init_lora_weights": True,
        "rank_pattern": {name: pair[0] for name, pair in wanted.items() if pair[0] != rank},
        "alpha_pattern": {name: pair[1] for name, pair in wanted.items() if pair[1] != alpha},
    }


def _alpha(config: LoraConfig, rank: int, scale: float) -> float:
    alpha = scale * (rank**0.5 if config.rslora else rank)
    return round(alpha) if abs(alpha - round(alpha)) < 1e-9 * alpha else alpha


def virtual_fields(num_tokens: int, *, token_dim: int, heads: int, layers: int) -> dict[str, Any]:
    """The fields of prompts and prefixes."""
    return {
        "num_virtual_tokens": num_tokens,
        "token_dim": token_dim,
        "num_attention_heads": heads,
        "num_layers": layers,
    }


def bottleneck_fields(config: BottleneckConfig) -> dict[str, Any]:
    """The fields of our own form."""
    return {
        "size": config.size,
        "after": [one.value for one in config.after],
        "activation": config.activation.value,
    }
