"""Saving an adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.

`peft.PeftModel.from_pretrained` opens the folder over the model `transformers` opens, with equal logits.  Bottleneck
adapters, for which PEFT has no form, are saved in the same two files with a `peft_type` of their own and our names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from lavra.adapt.config import AdapterConfig, BottleneckConfig, IA3Config, LoraConfig
from lavra.adapt.ia3 import Ia3
from lavra.adapt.inject import adapter_modules, adapters_of
from lavra.adapt.layers import core_of, linear_layers
from lavra.adapt.lora import Lora
from lavra.adapt.peft_config import BOTTLENECK, bottleneck_fields, lora_fields, shared_fields, virtual_fields
from lavra.adapt.peft_names import PROMPT, Names, saved_modules, shortest
from lavra.adapt.peft_prefix import join_prefix, kept_heads
from lavra.adapt.peft_tensors import join_ia3, join_lora
from lavra.adapt.prefix import Prefix
from lavra.adapt.soft_prompt import SoftPrompt
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import ConfigError
from lavra.base.files import write_json
from lavra.base.tasks import HeadKind
from lavra.model.config import Kind
from lavra.model.heads import TaskModel
from lavra.model.tensor_writing import write_file

CONFIG_FILE: Final = "adapter_config.json"
TENSOR_FILE: Final = "adapter_model.safetensors"

_HEADS: Final = {
    HeadKind.SEQUENCE: "SEQ_CLS",
    HeadKind.TOKEN: "TOKEN_CLS",
    HeadKind.SPAN: "QUESTION_ANS",
}
_KINDS: Final = {
    Kind.DECODER: "CAUSAL_LM",
    Kind.ENCODER: "FEATURE_EXTRACTION",
    Kind.ENCODER_DECODER: "SEQ_2_SEQ_LM",
}

Content = tuple[dict[str, Any], dict[str, Tensor]]
"""Fields of the configuration, and tensors by the name of what they belong to."""


def save_adapter(model: nn.Module, name: str, folder: Path | str, *, base: str | None = None) -> None:
    """Save one adapter; other files in the folder stay.

    Args:
        model: adapted.
        name: of the adapter.
        folder: made where it is not there.
        base: where the model it belongs to is found, for `base_model_name_or_path`.

    Raises:
        InputError: there is no such adapter.
        ConfigError: adapters are merged, or PEFT's format cannot express what this one does.
    """
    state = adapters_of(model)
    config = state.config(name)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged into the weights; unmerge before saving adapters")
    names, parts = Names(model), adapter_modules(model, name)
    copies = {place for place in parts if isinstance(model.get_submodule(place), TrainedCopies)}
    kind, (fields, tensors) = _content(model, config, names, {k: v for k, v in parts.items() if k not in copies})
    saved, whole = _saved({place: parts[place] for place in sorted(copies)}, names, own=kind == BOTTLENECK)
    stem = "base_model" if kind in ("PROMPT_TUNING", "PREFIX_TUNING") else "base_model.model"
    stored = {one if one == PROMPT else f"{stem}.{one}": part for one, part in {**tensors, **saved}.items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tensors(folder / TENSOR_FILE, stored)
    facts = {**shared_fields(kind, config, base, _task_type(model)), **fields, "modules_to_save": whole or None}
    write_json(folder / CONFIG_FILE, facts)


def _content(model: nn.Module, config: AdapterConfig, names: Names, parts: dict[str, nn.Module]) -> tuple[str, Content]:
    if isinstance(config, LoraConfig):
        return "LORA", _lora(model, config, names, parts)
    if isinstance(config, IA3Config):
        return "IA3", _ia3(model, names, parts)
    if isinstance(config, BottleneckConfig):
        tensors: dict[str, Tensor] = {
            f"{place}.{leaf}": one for place, part in parts.items() for leaf, one in part.named_parameters()
        }
        return BOTTLENECK, (bottleneck_fields(config), tensors)
    (part,) = parts.values()
    return _virtual(model, part)


def _lora(model: nn.Module, config: LoraConfig, names: Names, parts: dict[str, nn.Module]) -> Content:
    layers, tensors, scales, transposed = linear_layers(model), {}, {}, False
    for place in names.places:
        ours = [part if isinstance(part := parts.get(one), Lora) else None for one in place.ours]
        if not any(part is not None for part in ours):
            continue
        made, rank, scale = join_lora(place, ours, layers)
        tensors.update({f"{place.theirs}.{one}": tensor for one, tensor in made.items()})
        scales[place.theirs] = rank, scale
        transposed = transposed or place.transposed
    return lora_fields(config, scales, shortest(scales, names.theirs), transposed), tensors


def _ia3(model: nn.Module, names: Names, parts: dict[str, nn.Module]) -> Content:
    layers, tensors, inner, transposed = linear_layers(model), {}, [], False
    for place in names.places:
        ours = [part if isinstance(part := parts.get(one), Ia3) else None for one in place.ours]
        if not any(part is not None for part in ours):
            continue
        tensors[f"{place.theirs}.ia3_l"] = join_ia3(place, ours, layers)
        transposed = transposed or place.transposed
        if any(part is not None and part.prepares for part in ours):
            inner.append(place.theirs)
    outer = [name.removesuffix(".ia3_l") for name in tensors if name.removesuffix(".ia3_l") not in inner]
    endings = shortest(inner, names.theirs)
    fields = {
        "target_modules": sorted([*endings, *shortest(outer, names.theirs)]),
        "feedforward_modules": endings,
        "fan_in_fan_out": transposed,
    }
    return fields, tensors


def _virtual(model: nn.Module, part: nn.Module) -> tuple[str, Content]:
    config = core_of(model)[1].config
    shape = {"token_dim": config.hidden_size, "heads": config.num_heads, "layers": config.num_layers}
    if isinstance(part, SoftPrompt):
        # One submodule: PEFT keeps rows for T5's decoder as well, and never reads them.
        fields = {**virtual_fields(part.num_tokens, **shape), "num_transformer_submodules": 1}
        return "PROMPT_TUNING", ({**fields, "prompt_tuning_init": "RANDOM"}, {PROMPT: part.rows})
    assert isinstance(part, Prefix)
    heads = kept_heads(config)
    shape = {"token_dim": heads * config.head_dim, "heads": heads, "layers": config.num_layers}
    fields = {**virtual_fields(part.num_tokens, **shape), "prefix_projection": False}
    fields["num_transformer_submodules"] = 2 if config.kind is Kind.ENCODER_DECODER else 1
    return "PREFIX_TUNING", (fields, {PROMPT: join_prefix(part.pairs, config)})


def _saved(copies: dict[str, nn.Module], names: Names, *, own: bool) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors of modules trained whole, and the names PEFT finds those modules by."""
    tensors: dict[str, Tensor] = {}
    modules: list[str] = []
    for place, copy in copies.items():
        ours = {f"{place}.{leaf}": tensor for leaf, tensor in copy.state_dict().items()}
        found = ours if own else {names.their_parameter(one): tensor for one, tensor in ours.items()}
        tensors.update(found)
        modules.append(place if own else saved_modules(found))
    return tensors, modules


def _task_type(model: nn.Module) -> str | None:
    """PEFT's name for what the model does, which decides how it wraps it."""
    if isinstance(model, TaskModel):
        return _HEADS.get(model.task.head)
    return _KINDS[core_of(model)[1].config.kind]


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    write_file(path, {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
