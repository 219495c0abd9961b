"""The modules that replace a model's own while it has adapters: made, found and taken out again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from torch import nn

from lavra.adapt.active import Adapters
from lavra.adapt.layers import core_of, linear_layers
from lavra.adapt.linear import AdaptedLinear
from lavra.adapt.prefix import PrefixStack
from lavra.adapt.soft_prompt import VirtualEmbedding
from lavra.adapt.trained_copy import TrainedCopies
from lavra.model.stack import Stack
from lavra.quantize.modules import QuantizedLinear
from lavra.quantize.swap import replace_module

Wrapper = AdaptedLinear | VirtualEmbedding | TrainedCopies

_EMBEDDING: Final = "embedding.token"


def wrappers_in(model: nn.Module) -> Iterator[tuple[str, Wrapper]]:
    """The wrappers of a model, by name."""
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear | VirtualEmbedding | TrainedCopies):
            yield name, module


def wrap_quantized(model: nn.Module, state: Adapters) -> None:
    """Wrap every quantized layer: gradients must pass through it, whether it is adapted or not."""
    for place, layer in linear_layers(model).items():
        if isinstance(layer, QuantizedLinear):
            adapted_layer(model, place, state)


def adapted_layer(model: nn.Module, place: str, state: Adapters) -> AdaptedLinear:
    """The wrapper of a linear layer; created where it is missing."""
    module = model.get_submodule(place)
    if isinstance(module, AdaptedLinear):
        return module
    assert isinstance(module, nn.Linear | QuantizedLinear)
    wrapper = AdaptedLinear(module, state)
    replace_module(model, place, wrapper)
    return wrapper


def trained_copies(model: nn.Module, place: str, state: Adapters) -> TrainedCopies:
    """The wrapper of a module that is trained whole; created where it is missing."""
    module = model.get_submodule(place)
    if isinstance(module, TrainedCopies):
        return module
    wrapper = TrainedCopies(module, state)
    replace_module(model, place, wrapper)
    return wrapper


def virtual_embedding(model: nn.Module, state: Adapters) -> VirtualEmbedding:
    """The wrapper of the token embedding; created where it is missing."""
    _, core = core_of(model)
    token = core.embedding.token
    if isinstance(token, VirtualEmbedding):
        return token
    wrapper = VirtualEmbedding(token, state)
    replace_module(core, _EMBEDDING, wrapper)
    return wrapper


def wrap_stacks(model: nn.Module, state: Adapters) -> None:
    """Let the layers of every stack see keys and values of prefixes."""
    _, core = core_of(model)
    tables = [virtual_embedding(model, state).adapters]
    for name, module in list(core.named_children()):
        if isinstance(module, Stack) and not isinstance(module, PrefixStack):
            setattr(core, name, PrefixStack(module, state, tables if name == "decoder" else None))


def unwrap_stacks(model: nn.Module) -> None:
    """Put the stacks back that `wrap_stacks` replaced."""
    _, core = core_of(model)
    for name, module in list(core.named_children()):
        if isinstance(module, PrefixStack):
            module.original[0].training = module.training
            setattr(core, name, module.original[0])


def unwrap(model: nn.Module, place: str, wrapper: Wrapper) -> None:
    """Put a wrapped module back; for a module trained whole, the copy of the merged adapter."""
    inner: nn.Module = wrapper.base
    if isinstance(wrapper, TrainedCopies):
        kept = [name for name in wrapper.state.merged if name in wrapper.adapters]
        inner = wrapper.adapters[kept[0]].requires_grad_(True) if kept else wrapper.base
    replace_module(model, place, inner)
