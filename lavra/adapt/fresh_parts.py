"""The parts of a fresh adapter, before they are put into a model."""

from __future__ import annotations

from torch import nn

from lavra.adapt.config import AdapterConfig
from lavra.adapt.layers import core_of, linear_layers, names_of_layers
from lavra.adapt.linear import AdaptedLinear, LinearAdapter
from lavra.adapt.methods.table import method_of
from lavra.adapt.prefix import Prefix
from lavra.adapt.soft_prompt import SoftPrompt, VirtualEmbedding
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import ConfigError
from lavra.base.lazy import resolve


def fresh_layers(model: nn.Module, config: AdapterConfig) -> dict[str, LinearAdapter]:
    """Make fresh adapters of linear layers, by the layer's name; empty for a method that changes no layers."""
    layers, names = linear_layers(model), names_of_layers(model)
    saved = tuple(f"{place}." for place in modules_trained_whole(model, config))
    names = {name: known for name, known in names.items() if not f"{name}.".startswith(saved)} if saved else names
    method = method_of(config)
    if method.on_layers is None:
        return {}
    made: dict[str, LinearAdapter] = resolve(method.on_layers)(config, layers, names)
    return made


def fresh_virtual_tokens(model: nn.Module, config: AdapterConfig) -> SoftPrompt | Prefix | None:
    """Make the fresh virtual tokens of a method; None for a method without virtual tokens."""
    method = method_of(config)
    if method.in_front is None:
        return None
    _, core = core_of(model)
    token = core.embedding.token
    base = token.base if isinstance(token, VirtualEmbedding) else token
    made: SoftPrompt | Prefix = resolve(method.in_front)(config, core, base)
    return made


def modules_trained_whole(model: nn.Module, config: AdapterConfig) -> list[str]:
    """Names of the modules in `modules_to_save`.

    Raises:
        ConfigError: no module or several modules have such a name, or the module cannot be trained whole.
    """
    path, core = core_of(model)
    names = [name for name, _ in model.named_modules() if not {"base", "adapters"} & set(name.split("."))]
    places = []
    for wanted in config.modules_to_save:
        found = [name for name in names if name == wanted or name.endswith(f".{wanted}")]
        if len(found) != 1:
            raise ConfigError(
                f"modules_to_save: {len(found)} modules are named {wanted!r}; give one full name, such as 'head'"
            )
        module = model.get_submodule(found[0])
        if module is core.head or found[0].startswith(f"{path}embedding"):
            raise ConfigError(
                f"modules_to_save: {wanted!r} makes embeddings or logits, and other layers share its matrix; use LoRA "
                "instead"
            )
        inside = [part for part in module.modules() if isinstance(part, AdaptedLinear | TrainedCopies)]
        if any(part is not module for part in inside) or isinstance(module, AdaptedLinear):
            raise ConfigError(f"modules_to_save: {wanted!r} has adapters inside; it cannot be trained whole as well")
        places.append(found[0])
    return places
