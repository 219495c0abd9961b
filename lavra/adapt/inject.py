"""The one mechanism: adapters are put into a model from outside, module by module, and taken out again.

    before   decoder.blocks.0.attention.query              nn.Linear
    after    decoder.blocks.0.attention.query              AdaptedLinear
                                        .query.base        the same nn.Linear
                                        .query.adapters.x  what the adapter named x adds

The model's own parameters are frozen, adapters' are float32 and trainable.  `eject` puts every module back where it
was.  No constructor of the model knows of any of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from lavra.adapt.active import Adapters, RowSelection, Selection, row_numbers
from lavra.adapt.bottleneck import Bottleneck
from lavra.adapt.config import (
    AdapterConfig,
    After,
    BottleneckConfig,
    IA3Config,
    LoraConfig,
    PrefixConfig,
    PromptConfig,
)
from lavra.adapt.ia3 import Ia3
from lavra.adapt.layers import core_of, linear_layers, matching, names_of_layers
from lavra.adapt.linear import AdaptedLinear, LinearAdapter
from lavra.adapt.lora import Lora
from lavra.adapt.prefix import Prefix, PrefixStack, layer_numbers, prefix_shape
from lavra.adapt.soft_prompt import SoftPrompt, VirtualEmbedding, first_rows
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import ConfigError, InputError
from lavra.model.stack import Stack
from lavra.quantize.modules import QuantizedEmbedding, QuantizedLinear, QuantizedMatrix
from lavra.quantize.swap import replace_module

Wrapper = AdaptedLinear | VirtualEmbedding | TrainedCopies

_EMBEDDING = "embedding.token"
_WRITERS = {After.ATTENTION: ("attention.output", "cross_attention.output"), After.FEED_FORWARD: ("feed_forward.down",)}


def add_adapter(model: nn.Module, name: str, config: AdapterConfig) -> None:
    """Put a fresh adapter into a model; it alone acts and trains from here on.

    Args:
        model: any that holds a Transformer of lavra.model; its own parameters are frozen.
        name: of the adapter.
        config: what it is; weights are drawn from torch's global generator.

    Raises:
        ConfigError: the name is taken or unfit, a pattern matches nothing, or adapters are merged.
        InputError: the model cannot have such an adapter.
    """
    state = _state(model) or Adapters()
    _check_name(name, state)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged into the weights; unmerge first")
    fresh = not state.configs
    made = _linear_adapters(model, config)
    copied = _modules_to_save(model, config)
    prompt = _virtual(model, config)
    if fresh:
        state.thawed = [parameter for parameter in model.parameters() if parameter.requires_grad]
        model.requires_grad_(False)
        _wrap_quantized(model, state)
    for place, adapter in made.items():
        _adapted(model, place, state).adapters[name] = adapter.train(model.training)
    for place in copied:
        wrapper = _copies(model, place, state)
        wrapper.adapters[name] = wrapper.copy().train(model.training)
    if prompt is not None:
        _embedding(model, state).add(name, prompt)
        if isinstance(prompt, Prefix):
            _wrap_stacks(model, state)
    state.configs[name] = config
    activate(model, name)
    train_only(model, name)


def remove_adapter(model: nn.Module, name: str) -> None:
    """Take one adapter out; with the last one the model is as it was."""
    state = adapters_of(model)
    state.config(name)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged into the weights; unmerge first")
    if len(state.configs) == 1:
        eject(model)
        return
    for place, wrapper in list(_wrappers(model)):
        if isinstance(wrapper, VirtualEmbedding):
            if name in wrapper.ranges:
                wrapper.remove(name)
        elif name in wrapper.adapters:
            del wrapper.adapters[name]
        # A quantized layer stays wrapped for its gradients, the embedding so that no id is given out twice.
        if not wrapper.adapters and not isinstance(wrapper.base, QuantizedLinear | nn.Embedding | QuantizedEmbedding):
            _unwrap(model, place, wrapper)
    if not any(isinstance(config, PrefixConfig) for other, config in state.configs.items() if other != name):
        _unwrap_stacks(model)
    del state.configs[name]
    left = tuple(
        Selection(names=tuple(one for one in selection.names if one != name), rows=selection.rows)
        for selection in state.selections
    )
    state.select(*left)


def eject(model: nn.Module, *, keep_merged: bool = False) -> None:
    """Take all adapters out: every module is where it was, and trainable as it was.

    Args:
        model: adapted.
        keep_merged: leave merged adapters in the weights (`merge`), a head that was trained whole in its place.

    Raises:
        ConfigError: adapters are merged and `keep_merged` is not set, or the other way round.
    """
    state = adapters_of(model)
    if bool(state.merged) != keep_merged:
        raise ConfigError(
            f"merged adapters: {', '.join(state.merged) or 'none'}, and keep_merged is {keep_merged}; "
            "unmerge first, or set keep_merged to leave them in the weights"
        )
    for place, wrapper in list(_wrappers(model)):
        _unwrap(model, place, wrapper)
    _unwrap_stacks(model)
    for parameter in state.thawed:
        parameter.requires_grad_(True)


def activate(model: nn.Module, *names: str) -> None:
    """Let these adapters act on every row, one after the other, and no others; none is the model itself."""
    adapters_of(model).select(Selection(names=names))


def activate_rows(model: nn.Module, groups: Sequence[tuple[Sequence[str], RowSelection]]) -> None:
    """Let each group's adapters act on its rows of the batch; rows in no group are the model's own.

    Raises:
        InputError: an unknown adapter, or a row in two groups.
    """
    adapters_of(model).select(*(Selection(names=tuple(names), rows=row_numbers(rows)) for names, rows in groups))


@contextmanager
def activated(
    model: nn.Module, *names: str, rows: Sequence[tuple[Sequence[str], RowSelection]] | None = None
) -> Iterator[None]:
    """`activate`, or `activate_rows` where rows are given, for the length of a block."""
    state = adapters_of(model)
    before = state.selections
    if rows is None:
        activate(model, *names)
    elif names:
        raise InputError(f"adapters {', '.join(names)} are named for all rows and others by rows; name them one way")
    else:
        activate_rows(model, rows)
    try:
        yield
    finally:
        state.selections = before


def train_only(model: nn.Module, *names: str) -> None:
    """Let the parameters of these adapters train, and no others."""
    state = adapters_of(model)
    for name in names:
        state.config(name)
    for _, wrapper in _wrappers(model):
        for name, adapter in wrapper.adapters.items():
            adapter.requires_grad_(name in names)


def adapters_of(model: nn.Module) -> Adapters:
    """The adapters of a model and which of them act.

    Raises InputError where it has none.
    """
    state = _state(model)
    if state is None:
        raise InputError("the model has no adapters; add one with add_adapter or load_adapter")
    return state


def virtual_ids(model: nn.Module, name: str) -> tuple[int, ...]:
    """The token ids of a soft prompt or a prefix, to be put in front of a text.

    Raises InputError where the adapter has none.
    """
    state = adapters_of(model)
    config = state.config(name)
    for _, wrapper in _wrappers(model):
        if isinstance(wrapper, VirtualEmbedding) and name in wrapper.ranges:
            return tuple(range(*wrapper.ranges[name]))
    raise InputError(f"adapter {name!r} ({type(config).__name__}) has no virtual tokens; prompts and prefixes have")


def adapter_modules(model: nn.Module, name: str) -> dict[str, nn.Module]:
    """What an adapter consists of, by the name of the module each part stands at."""
    adapters_of(model).config(name)
    return {place: wrapper.adapters[name] for place, wrapper in _wrappers(model) if name in wrapper.adapters}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters of a model.

    Attributes:
        trainable: numbers that train.
        total: all of them; of a quantized matrix the numbers it stands for.
    """

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Of all that train."""
        return self.trainable / self.total

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} parameters train ({self.share:.2%})"


def count_parameters(model: nn.Module) -> Counts:
    """How many parameters a model has and how many of them train."""
    parameters = list(model.parameters())
    stored = sum(one.rows * one.columns for one in model.modules() if isinstance(one, QuantizedMatrix))
    return Counts(
        trainable=sum(one.numel() for one in parameters if one.requires_grad),
        total=stored + sum(one.numel() for one in parameters),
    )


def _check_name(name: str, state: Adapters) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or hasattr(nn.ModuleDict(), name):
        raise ConfigError(
            f"{name!r} cannot name an adapter; use letters, digits, _ and -, and no word of Python's dict"
        )
    if name in state.configs:
        raise ConfigError(f"there is an adapter {name!r} already; remove it, or choose another name")


def _state(model: nn.Module) -> Adapters | None:
    return next((wrapper.state for _, wrapper in _wrappers(model)), None)


def _wrappers(model: nn.Module) -> Iterator[tuple[str, Wrapper]]:
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear | VirtualEmbedding | TrainedCopies):
            yield name, module


def _linear_adapters(model: nn.Module, config: AdapterConfig) -> dict[str, LinearAdapter]:
    """Fresh adapters by the layer each is for."""
    layers, names = linear_layers(model), names_of_layers(model)
    saved = tuple(f"{place}." for place in _modules_to_save(model, config))
    names = {name: known for name, known in names.items() if not f"{name}.".startswith(saved)} if saved else names
    if isinstance(config, LoraConfig):
        made: dict[str, LinearAdapter] = {}
        for name in matching(names, config.targets, exclude=config.exclude):
            rank = config.rank_of(names[name])
            scale = config.scale_of(names[name], rank)
            made[name] = Lora(layers[name], rank=rank, scale=scale, dropout=config.dropout, dora=config.dora)
        return made
    if isinstance(config, IA3Config):
        chosen = matching(names, config.targets)
        inner = set(matching({name: names[name] for name in chosen}, config.feed_forward))
        return {name: Ia3(layers[name], on_inputs=name in inner) for name in chosen}
    if isinstance(config, BottleneckConfig):
        ends = tuple(f".{end}" for after in config.after for end in _WRITERS[after])
        chosen = [name for name in layers if name.endswith(ends)]
        return {name: Bottleneck(layers[name], size=config.size, activation=config.activation) for name in chosen}
    return {}


def _virtual(model: nn.Module, config: AdapterConfig) -> SoftPrompt | Prefix | None:
    _, core = core_of(model)
    token = core.embedding.token
    base = token.base if isinstance(token, VirtualEmbedding) else token
    if isinstance(config, PromptConfig):
        return SoftPrompt(first_rows(config, base))
    if isinstance(config, PrefixConfig):
        shape = (config.num_tokens, *prefix_shape(core.config))
        return Prefix(config.init_std * torch.randn(shape).to(base.weight.device), layer_numbers(core.config))
    return None


def _modules_to_save(model: nn.Module, config: AdapterConfig) -> list[str]:
    """Names of modules to be trained whole; ConfigError for one that cannot be."""
    path, core = core_of(model)
    names = [name for name, _ in model.named_modules() if not {"base", "adapters"} & set(name.split("."))]
    places = []
    for wanted in config.modules_to_save:
        found = [name for name in names if name == wanted or name.endswith(f".{wanted}")]
        if len(found) != 1:
            raise ConfigError(
                f"modules_to_save: {len(found)} modules are named {wanted!r}; give the whole name of one, like 'head'"
            )
        module = model.get_submodule(found[0])
        if module is core.head or found[0].startswith(f"{path}embedding"):
            raise ConfigError(
                f"modules_to_save: {wanted!r} makes embeddings or logits, whose matrix others read; use LoRA instead"
            )
        inside = [part for part in module.modules() if isinstance(part, AdaptedLinear | TrainedCopies)]
        if any(part is not module for part in inside) or isinstance(module, AdaptedLinear):
            raise ConfigError(f"modules_to_save: {wanted!r} has adapters inside; it cannot be trained whole as well")
        places.append(found[0])
    return places


def _wrap_quantized(model: nn.Module, state: Adapters) -> None:
    """Every quantized layer must let gradients through, whether it is adapted or not."""
    for place, layer in linear_layers(model).items():
        if isinstance(layer, QuantizedLinear):
            _adapted(model, place, state)


def _adapted(model: nn.Module, place: str, state: Adapters) -> AdaptedLinear:
    module = model.get_submodule(place)
    if isinstance(module, AdaptedLinear):
        return module
    assert isinstance(module, nn.Linear | QuantizedLinear)
    wrapper = AdaptedLinear(module, state)
    replace_module(model, place, wrapper)
    return wrapper


def _copies(model: nn.Module, place: str, state: Adapters) -> TrainedCopies:
    module = model.get_submodule(place)
    if isinstance(module, TrainedCopies):
        return module
    wrapper = TrainedCopies(module, state)
    replace_module(model, place, wrapper)
    return wrapper


def _embedding(model: nn.Module, state: Adapters) -> VirtualEmbedding:
    _, core = core_of(model)
    token = core.embedding.token
    if isinstance(token, VirtualEmbedding):
        return token
    wrapper = VirtualEmbedding(token, state)
    replace_module(core, _EMBEDDING, wrapper)
    return wrapper


def _wrap_stacks(model: nn.Module, state: Adapters) -> None:
    _, core = core_of(model)
    tables = [_embedding(model, state).adapters]
    for name, module in list(core.named_children()):
        if isinstance(module, Stack) and not isinstance(module, PrefixStack):
            setattr(core, name, PrefixStack(module, state, tables if name == "decoder" else None))


def _unwrap_stacks(model: nn.Module) -> None:
    _, core = core_of(model)
    for name, module in list(core.named_children()):
        if isinstance(module, PrefixStack):
            module.original[0].training = module.training
            setattr(core, name, module.original[0])


def _unwrap(model: nn.Module, place: str, wrapper: Wrapper) -> None:
    inner: nn.Module = wrapper.base
    if isinstance(wrapper, TrainedCopies):
        kept = [name for name in wrapper.state.merged if name in wrapper.adapters]
        inner = wrapper.adapters[kept[0]].requires_grad_(True) if kept else wrapper.base
    replace_module(model, place, inner)
