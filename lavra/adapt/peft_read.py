"""Open an adapter that PEFT or lavra saved; the model then gives the same logits as there.

The tensors name the adapted layers; the configuration has the settings.  Pickled adapters are refused: opening a
pickle can run any program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lavra.adapt.config import AdapterConfig
from lavra.adapt.inject import adapter_modules, adapters_of, add_adapter, remove_adapter, train_only
from lavra.adapt.methods.method import PeftCodec
from lavra.adapt.methods.table import stored_method
from lavra.adapt.own_form import read_own_form
from lavra.adapt.peft_config import whole_modules
from lavra.adapt.peft_content import FillModules, StoredAdapter, copy_stored
from lavra.adapt.peft_file import CONFIG_FILE, AdapterTensors, adapter_tensor_file, parse, read_adapter_config
from lavra.adapt.peft_names import PeftNames
from lavra.adapt.peft_shared import leave_out_copies
from lavra.base.errors import CheckpointError, InputError
from lavra.base.lazy import resolve
from lavra.model.families.fields import Fields

Saved = dict[str, dict[str, Tensor]]
"""Our module trained whole -> its parameters."""


def load_adapter(model: nn.Module, folder: Path | str, name: str | None = None, *, trainable: bool = False) -> str:
    """Put a saved adapter into a model; from then on it alone acts.

    Args:
        model: model that the adapter was trained on.
        folder: folder with `adapter_config.json` and `adapter_model.safetensors`.
        name: name of the adapter; by default the folder's, or `default` where that is not valid.
        trainable: whether it trains; other adapters train as before.

    Returns:
        Name of the adapter.

    Raises:
        CheckpointError: a file is missing, damaged or pickled, a setting cannot be honoured, or the adapter belongs to
            another model.
        ConfigError: the name is taken, or the model cannot have such an adapter.
    """
    folder = Path(folder)
    chosen = name or (folder.name if re.fullmatch(r"[A-Za-z0-9_-]+", folder.name) else "default")
    fields = Fields(read_adapter_config(folder), where=str(folder / CONFIG_FILE))
    tensors = load_file(adapter_tensor_file(folder))
    method = stored_method(fields)
    if method.peft is None:
        config, saved, fill = read_own_form(method, fields, tensors)
    else:
        config, saved, fill = _peft(model, method.peft, fields, parse(tensors))
    before = _training(model)
    with torch.random.fork_rng(devices=[]):  # the drawn weights are overwritten
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


def _peft(
    model: nn.Module, codec: PeftCodec, fields: Fields, parsed: AdapterTensors
) -> tuple[AdapterConfig, Saved, FillModules]:
    names = PeftNames(model)
    parsed = leave_out_copies(model, fields, names, parsed)
    saved = _saved(fields, names, parsed.saved)
    stored = StoredAdapter(model=model, fields=fields, names=names, parsed=parsed, saved=tuple(saved))
    config, fill = resolve(codec.read)(stored)
    return config, saved, fill


def _saved(fields: Fields, names: PeftNames, tensors: Mapping[str, Tensor]) -> Saved:
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
            copy_stored(parameter, saved[place][leaf], f"{place}.{leaf}")
