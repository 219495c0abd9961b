"""Opening an adapter that PEFT or lavra saved, with the logits it had there.

The tensors say which layers are adapted, the configuration how.  Pickled adapters are refused: opening one can run any
program.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lavra.adapt.config import AdapterConfig
from lavra.adapt.ia3 import Ia3
from lavra.adapt.inject import adapter_modules, adapters_of, add_adapter, remove_adapter, train_only
from lavra.adapt.layers import core_of, linear_layers
from lavra.adapt.lora import Lora
from lavra.adapt.peft_config import (
    BOTTLENECK,
    kind_of,
    read_bottleneck,
    read_ia3,
    read_lora,
    read_prefix,
    read_prompt,
    whole_modules,
)
from lavra.adapt.peft_names import Names, Parsed, parse
from lavra.adapt.peft_prefix import split_prefix
from lavra.adapt.peft_shared import leave_out_copies
from lavra.adapt.peft_tensors import LoraTensors, split_ia3, split_lora
from lavra.adapt.peft_write import CONFIG_FILE, TENSOR_FILE
from lavra.adapt.prefix import Prefix
from lavra.adapt.soft_prompt import SoftPrompt
from lavra.base.errors import CheckpointError, InputError
from lavra.model.config_files import read_fields
from lavra.model.families.fields import Fields
from lavra.model.tensors import read_header

log = logging.getLogger(__name__)

Saved = dict[str, dict[str, Tensor]]
"""Our module trained whole -> its parameters."""
FillModules = Callable[[dict[str, nn.Module]], None]
"""Gives the parts of a fresh adapter their tensors."""


def load_adapter(model: nn.Module, folder: Path | str, name: str | None = None, *, trainable: bool = False) -> str:
    """Put a saved adapter into a model; it alone acts from here on.

    Args:
        model: the one it was trained on.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        name: of the adapter; by default the folder's, or `default` where that is no name.
        trainable: whether it trains; others go on as they were.

    Returns:
        Its name.

    Raises:
        CheckpointError: a file is missing, damaged or pickled, a setting cannot be honoured, or the adapter belongs to
            another model.
        ConfigError: the name is taken, or the model cannot have such an adapter.
    """
    folder = Path(folder)
    chosen = name or (folder.name if re.fullmatch(r"[A-Za-z0-9_-]+", folder.name) else "default")
    fields = Fields(read_adapter_config(folder), where=str(folder / CONFIG_FILE))
    tensors = _read_tensors(folder)
    kind = kind_of(fields)
    if kind == BOTTLENECK:
        config, saved, fill = _bottleneck(model, fields, tensors)
    else:
        config, saved, fill = _peft(model, kind, fields, parse(tensors))
    before = _training(model)
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
        add_adapter(model, chosen, config)
    try:
        parts = adapter_modules(model, chosen)
        _fill_saved({place: parts.pop(place) for place in saved}, saved)
        fill(parts)
    except (InputError, RuntimeError):
        remove_adapter(model, chosen)
        raise
    train_only(model, *before, *([chosen] if trainable else []))
    return chosen


def _training(model: nn.Module) -> list[str]:
    """Names of the adapters that train."""
    try:
        names = list(adapters_of(model).configs)
    except InputError:
        return []
    return [
        name
        for name in names
        if any(one.requires_grad for part in adapter_modules(model, name).values() for one in part.parameters())
    ]


def _peft(model: nn.Module, kind: str, fields: Fields, parsed: Parsed) -> tuple[AdapterConfig, Saved, FillModules]:
    names = Names(model)
    parsed = leave_out_copies(model, fields, names, parsed)
    saved = _saved(fields, names, parsed.saved)
    if kind in ("PROMPT_TUNING", "PREFIX_TUNING"):
        if parsed.prompt is None or parsed.layers:
            raise CheckpointError(f"{fields.where}: {kind} needs the tensor prompt_embeddings, and no layers'")
        read = _prompt if kind == "PROMPT_TUNING" else _prefix
        return read(model, fields, parsed.prompt, saved)
    if not parsed.layers or parsed.prompt is not None:
        raise CheckpointError(f"{fields.where}: {kind} needs tensors of layers, and no prompt; save the adapter again")
    return (_lora if kind == "LORA" else _ia3)(model, fields, names, parsed, saved)


def _lora(
    model: nn.Module, fields: Fields, names: Names, parsed: Parsed, saved: Saved
) -> tuple[AdapterConfig, Saved, FillModules]:
    layers, found = linear_layers(model), dict[str, LoraTensors]()
    scales: dict[str, float] = {}
    settings = read_lora(fields, ("unknown",), tuple(saved))
    for theirs, tensors in parsed.layers.items():
        place = names.place(theirs)
        split = split_lora(place, tensors, layers, dora=settings.dora)
        rank, stored = settings.rank_of([theirs]), tensors["lora_A.weight"].shape[0]
        if rank != stored:
            raise CheckpointError(f"{fields.where}: {theirs} has rank {rank} there and {stored} in its tensors")
        found.update(split)
        scales.update(dict.fromkeys(split, settings.scale_of([theirs], rank)))
    config = read_lora(fields, tuple(found), tuple(saved))

    def fill(parts: dict[str, nn.Module]) -> None:
        for place, part in parts.items():
            tensors = found[place]
            cast(Lora, part).set(tensors.a, tensors.b, scales[place], tensors.magnitude)

    return config, saved, fill


def _ia3(
    model: nn.Module, fields: Fields, names: Names, parsed: Parsed, saved: Saved
) -> tuple[AdapterConfig, Saved, FillModules]:
    layers, found, inner = linear_layers(model), dict[str, Tensor](), list[str]()
    for theirs, tensors in parsed.layers.items():
        split, on_inputs = split_ia3(names.place(theirs), tensors, layers)
        found.update(split)
        inner += list(split) if on_inputs else []
    config = read_ia3(fields, tuple(found), tuple(inner), tuple(saved))

    def fill(parts: dict[str, nn.Module]) -> None:
        for place, part in parts.items():
            _copy(cast(Ia3, part).factors, found[place], place)

    return config, saved, fill


def _prompt(model: nn.Module, fields: Fields, stored: Tensor, saved: Saved) -> tuple[AdapterConfig, Saved, FillModules]:
    config = read_prompt(fields, tuple(saved))
    if len(stored) == 2 * config.num_tokens:
        log.info("%s: rows for T5's decoder are left out; PEFT does not read them either", fields.where)
        stored = stored[: config.num_tokens]

    def fill(parts: dict[str, nn.Module]) -> None:
        (part,) = parts.values()
        _copy(cast(SoftPrompt, part).rows, stored, "prompt_embeddings")

    return config, saved, fill


def _prefix(model: nn.Module, fields: Fields, stored: Tensor, saved: Saved) -> tuple[AdapterConfig, Saved, FillModules]:
    config = read_prefix(fields, tuple(saved))
    pairs = split_prefix(stored, config.num_tokens, core_of(model)[1].config)

    def fill(parts: dict[str, nn.Module]) -> None:
        (part,) = parts.values()
        _copy(cast(Prefix, part).pairs, pairs, "prompt_embeddings")

    return config, saved, fill


def _bottleneck(
    model: nn.Module, fields: Fields, tensors: Mapping[str, Tensor]
) -> tuple[AdapterConfig, Saved, FillModules]:
    whole = whole_modules(fields)
    config = read_bottleneck(fields, whole)
    ours = {name.removeprefix("base_model.model."): tensor for name, tensor in tensors.items()}
    saved = {
        place: {name.removeprefix(f"{place}."): one for name, one in ours.items() if name.startswith(f"{place}.")}
        for place in whole
    }
    rest = {name: one for name, one in ours.items() if not name.startswith(tuple(f"{place}." for place in whole))}

    def fill(parts: dict[str, nn.Module]) -> None:
        wanted = {f"{place}.{leaf}": one for place, part in parts.items() for leaf, one in part.named_parameters()}
        if set(wanted) != set(rest):
            odd = sorted(set(wanted) ^ set(rest))
            raise CheckpointError(
                f"{fields.where}: {len(odd)} tensors are missing or unexpected, {odd[0]} among them; "
                "the adapter was made for another model"
            )
        for name, parameter in wanted.items():
            _copy(parameter, rest[name], name)

    return config, saved, fill


def _saved(fields: Fields, names: Names, tensors: Mapping[str, Tensor]) -> Saved:
    """Tensors of modules trained whole, by our module."""
    groups: dict[str, dict[str, Tensor]] = {}
    entries = whole_modules(fields)
    for theirs, tensor in tensors.items():
        module = _named_module(theirs, entries)
        if module is None:
            raise CheckpointError(
                f"{fields.where}: the adapter has the tensor {theirs}, which is neither of its method nor of "
                f"modules_to_save ({', '.join(entries) or 'none'}), so lavra cannot tell what it is for; "
                "merge the adapter into its model with PEFT (merge_and_unload, save_pretrained) and open that"
            )
        groups.setdefault(module, {})[names.our_parameter(theirs)] = tensor
    found: Saved = {}
    for group in groups.values():
        place = names.our_module(group)
        found[place] = {name.removeprefix(f"{place}."): tensor for name, tensor in group.items()}
    return found


def _named_module(tensor: str, entries: Sequence[str]) -> str | None:
    """The outermost module around a tensor whose name ends with an entry of `modules_to_save`, as PEFT matches them."""
    parts = tensor.split(".")
    modules = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((module for module in modules if module.endswith(tuple(entries))), None)


def _fill_saved(copies: dict[str, nn.Module], saved: Saved) -> None:
    for place, copy in copies.items():
        wanted = copy.state_dict()
        if set(wanted) != set(saved[place]):
            odd = sorted(set(wanted) ^ set(saved[place]))
            raise CheckpointError(
                f"{place}: tensors {', '.join(odd)} are missing or unexpected; the adapter was made for another model"
            )
        for leaf, parameter in wanted.items():
            _copy(parameter, saved[place][leaf], f"{place}.{leaf}")


@torch.no_grad()
def _copy(parameter: Tensor, stored: Tensor, name: str) -> None:
    if parameter.shape != stored.shape:
        raise CheckpointError(
            f"tensor {name} of the adapter has shape {list(stored.shape)}, expected {list(parameter.shape)}; "
            "the adapter was made for another model"
        )
    parameter.copy_(stored)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The raw `adapter_config.json` of a folder.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no {CONFIG_FILE}: it is no adapter; name a folder that PEFT or lavra wrote"
        )
    return read_fields(path)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / TENSOR_FILE
    if path.exists():
        read_header(path)
        return load_file(path)
    if (folder / "adapter_model.bin").exists():
        raise CheckpointError(
            f"{folder} has its tensors in adapter_model.bin only: pickled files can run any program when opened, so "
            "lavra refuses them; where you trust it, open it with PEFT and save it again, which writes safetensors"
        )
    raise CheckpointError(f"{folder} has no {TENSOR_FILE}; fetch the whole folder")
