"""Adapters folded into the weights of the model, and taken out of them again.

A merged model gives the outputs of the adapted model and costs no more than the model alone.  It serves one adapter,
or is saved as an ordinary checkpoint (`eject` with `keep_merged`).  The old weights are kept, so that unmerging
restores them bit by bit.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.inject import activate, adapters_of
from lavra.adapt.linear import AdaptedLinear, LinearAdapter, folded
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import ConfigError


@torch.no_grad()
def merge(model: nn.Module, *names: str) -> None:
    """Fold adapters into the weights, in the order given; no adapter acts beside them until `unmerge`.

    In float32 the outputs are those of the adapted model within 1e-5; a bfloat16 weight rounds its update.

    Args:
        model: adapted model.
        names: names of the adapters; without names, the adapters that act on all rows.

    Raises:
        ConfigError: adapters are merged already, there is no adapter to merge, or an adapter cannot be merged.
    """
    state = adapters_of(model)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged already; unmerge first")
    if not names and any(one.rows is not None for one in state.selections):
        raise ConfigError(
            "rows use different adapters, and merged weights are the same for all rows; name the adapters to merge"
        )
    chosen = names or tuple(name for one in state.selections for name in one.names)
    if not chosen:
        raise ConfigError("no adapter is active; name the adapters to merge")
    for name in chosen:
        if isinstance(state.config(name), VirtualTokensConfig):
            raise ConfigError(f"adapter {name!r} is made of virtual tokens and has no weights to merge; leave it out")
    _check_heads(model, chosen)
    layers = {place: one for place, one in model.named_modules() if isinstance(one, AdaptedLinear)}
    acting = {place: [one.adapters[name] for name in chosen if name in one.adapters] for place, one in layers.items()}
    made = {
        place: folded(_float_base(place, layers[place]), [cast(LinearAdapter, one) for one in found])
        for place, found in acting.items()
        if found
    }
    for place, (weight, bias) in made.items():
        base = layers[place].base
        assert isinstance(base, nn.Linear)
        own: Tensor | None = base.bias
        state.kept[place] = base.weight.clone(), None if own is None else own.clone()
        base.weight.copy_(weight)
        if bias is not None:
            base.bias.copy_(bias)
    state.selections, state.merged = (), chosen


@torch.no_grad()
def unmerge(model: nn.Module) -> None:
    """Restore the old weights; the adapters that were merged act on all rows again.

    Raises ConfigError when no adapter is merged.
    """
    state = adapters_of(model)
    if not state.merged:
        raise ConfigError("nothing is merged; merge first")
    for place, (weight, bias) in state.kept.items():
        layer = model.get_submodule(place)
        assert isinstance(layer, AdaptedLinear)
        layer.base.get_parameter("weight").copy_(weight)
        if bias is not None:
            layer.base.get_parameter("bias").copy_(bias)
    names, state.merged = state.merged, ()
    state.kept.clear()
    activate(model, *names)


def _check_heads(model: nn.Module, names: tuple[str, ...]) -> None:
    for place, module in model.named_modules():
        found = [name for name in names if isinstance(module, TrainedCopies) and name in module.adapters]
        if len(found) > 1:
            raise ConfigError(f"adapters {', '.join(found)} each have a {place} of their own; merge one of them")


def _float_base(place: str, layer: AdaptedLinear) -> nn.Linear:
    if not isinstance(layer.base, nn.Linear):
        raise ConfigError(
            f"{place} is quantized, and a merged update would be rounded away; "
            "serve the adapter beside it, or merge into the unquantized model"
        )
    return layer.base
