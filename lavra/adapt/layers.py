"""The linear layers of a model, at which adapters can stand, by the names that users and checkpoints know them by.

A layer answers to our dotted name and to the name it has in a Hugging Face checkpoint, which the family's weight table
knows: `decoder.blocks.0.attention.query` is `transformer.h.0.attn.c_attn` in GPT-2, together with key and value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import nn

from lavra.adapt.config import ALL_LINEAR, Patterns
from lavra.adapt.linear import AdaptedLinear, BaseLinear, sizes
from lavra.adapt.places import LayerPlace, stored_matrices
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.model.families.table import family
from lavra.model.heads import TaskModel
from lavra.model.transformer import Transformer
from lavra.model.weights import SameTensor
from lavra.quantize.modules import QuantizedLinear


def core_of(model: nn.Module) -> tuple[str, Transformer]:
    """The Transformer in a model, and the path to it with a dot behind; the path is empty for the Transformer itself.

    Raises InputError for a model without a Transformer.
    """
    for path, module in model.named_modules():
        if isinstance(module, Transformer):
            return (f"{path}." if path else ""), module
    raise InputError(f"{type(model).__name__} holds no Transformer of lavra.model, so there is nothing to adapt")


def linear_layers(model: nn.Module) -> dict[str, BaseLinear]:
    """Every linear layer that can be adapted, by its name; layers inside a module that is trained whole cannot."""
    return dict(_walk(model, ""))


def _walk(module: nn.Module, path: str) -> Iterator[tuple[str, BaseLinear]]:
    if isinstance(module, AdaptedLinear):
        yield path, module.base
    elif isinstance(module, nn.Linear | QuantizedLinear):
        yield path, module
    elif not isinstance(module, TrainedCopies):
        for name, child in module.named_children():
            yield from _walk(child, f"{path}.{name}" if path else name)


def stored_sizes(place: LayerPlace, layers: Mapping[str, BaseLinear]) -> tuple[int, int]:
    """(N, K) outputs and inputs of a matrix of a checkpoint that holds these layers."""
    found = [sizes(layers[name]) for name in place.ours]
    return sum(outputs for outputs, _ in found), found[0][1]


def places(model: nn.Module) -> list[LayerPlace]:
    """The linear layers of a model in its checkpoint's form; layers that no table names stand for themselves."""
    layers = linear_layers(model)
    path, core = core_of(model)
    found: list[LayerPlace] = []
    for one in stored_matrices(core.config):
        ours = tuple(path + name for name in one.ours)
        if all(name in layers for name in ours):
            found.append(replace(one, theirs=their_name(model, one.theirs), ours=ours))
    named = {name for place in found for name in place.ours}
    heads = _head_names(model)
    found += [
        LayerPlace(theirs=heads.get(name, name), ours=(name,), rows=SameTensor(), transposed=False)
        for name in layers
        if name not in named
    ]
    return found


def their_name(model: nn.Module, name: str) -> str:
    """Turn a name of the family's table into that of the class that opens this model: with its prefix, or without."""
    _, core = core_of(model)
    own = family(core.config.family).prefix
    if not name.startswith(own):
        return name
    bare = name.removeprefix(own)
    if isinstance(model, TaskModel):
        return model.form.prefix + bare
    return name if core.config.has_head else bare


def parameter_names(model: nn.Module) -> dict[str, str]:
    """Our name of a parameter -> theirs, where one parameter of theirs is one of ours; a task's head included."""
    path, core = core_of(model)
    table = family(core.config.family).table(core.config)
    names = {path + one.ours[0]: their_name(model, one.theirs) for one in table if one.form == SameTensor()}
    for ours, theirs in _head_names(model).items():
        names.update({f"{ours}.{leaf}": f"{theirs}.{leaf}" for leaf in ("weight", "bias")})
    return names


def base_parameters(model: nn.Module) -> list[str]:
    """Names of the model's own parameters, in their form without adapters."""
    names = [name.split(".") for name, _ in model.named_parameters()]
    return [".".join(part for part in parts if part != "base") for parts in names if "adapters" not in parts]


def _head_names(model: nn.Module) -> dict[str, str]:
    if not isinstance(model, TaskModel):
        return {}
    names = {"head.output": model.form.output}
    return names if model.form.dense is None else {**names, "head.dense": model.form.dense}


def names_of_layers(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Each layer's name -> all names it answers to."""
    return {name: (name, place.theirs) for place in places(model) for name in place.ours}


def matching(names: Mapping[str, tuple[str, ...]], patterns: Patterns, *, exclude: tuple[str, ...] = ()) -> list[str]:
    """The layers that patterns name, in the order of the model.

    Args:
        names: all names of each layer.
        patterns: endings of names, or one regular expression, or `ALL_LINEAR`.
        exclude: endings of names that are left out.

    Raises:
        ConfigError: a pattern matches no layer.
    """
    if patterns in (ALL_LINEAR, (ALL_LINEAR,)):
        found = {name for name in names if ".blocks." in f".{name}."}
    elif isinstance(patterns, str):
        found = {name for name, known in names.items() if any(re.fullmatch(patterns, one) for one in known)}
        _some(found, patterns, names)
    else:
        found = set()
        for pattern in patterns:
            found |= _some({name for name, known in names.items() if _ends(known, pattern)}, pattern, names)
    left_out = {name for name, known in names.items() if any(_ends(known, pattern) for pattern in exclude)}
    if found and found <= left_out:
        raise ConfigError(f"every layer that {patterns!r} names is in exclude {exclude!r}; exclude fewer")
    return [name for name in names if name in found and name not in left_out]


def _ends(known: tuple[str, ...], pattern: str) -> bool:
    return any(one == pattern or one.endswith(f".{pattern}") for one in known)


def _some(found: set[str], pattern: str, names: Mapping[str, tuple[str, ...]]) -> set[str]:
    if not found:
        leaves = {one.rsplit(".", 1)[-1] for known in names.values() for one in known}
        raise ConfigError(f"no linear layer of this model is named {pattern!r}{nearest(pattern, leaves)}")
    return found
