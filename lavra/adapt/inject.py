"""Put adapters into a model from outside, module by module, and take them out again.

    before   decoder.blocks.0.attention.query              nn.Linear
    after    decoder.blocks.0.attention.query              AdaptedLinear
                                        .query.base        the same nn.Linear
                                        .query.adapters.x  the part of the adapter named x

The model's own parameters are frozen; the adapters' are float32 and trainable.  `eject` puts every module back into
its old place.  No constructor of the model knows of adapters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from lavra.adapt.active import Adapters, RowSelection, Selection, row_numbers
from lavra.adapt.config import AdapterConfig, check_adapter_name
from lavra.adapt.fresh_parts import fresh_layers, fresh_virtual_tokens, modules_trained_whole
from lavra.adapt.prefix import Prefix
from lavra.adapt.soft_prompt import VirtualEmbedding
from lavra.adapt.wrappers import (
    adapted_layer,
    trained_copies,
    unwrap,
    unwrap_stacks,
    virtual_embedding,
    wrap_quantized,
    wrap_stacks,
    wrappers_in,
)
from lavra.base.errors import ConfigError, InputError
from lavra.quantize.modules import QuantizedEmbedding, QuantizedLinear, QuantizedMatrix


def add_adapter(model: nn.Module, name: str, config: AdapterConfig) -> None:
    """Put a fresh adapter into a model; from then on it alone acts and trains.

    Args:
        model: any module that holds a Transformer of lavra.model; its own parameters are frozen.
        name: name of the adapter.
        config: configuration of the adapter; its weights are drawn from torch's global generator.

    Raises:
        ConfigError: the name is taken or not valid, a pattern matches no layer, or adapters are merged.
        InputError: the model cannot have such an adapter.
    """
    state = _state(model) or Adapters()
    _check_name(name, state)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged into the weights; unmerge first")
    fresh = not state.configs
    made = fresh_layers(model, config)
    copied = modules_trained_whole(model, config)
    prompt = fresh_virtual_tokens(model, config)
    if fresh:
        state.thawed = [parameter for parameter in model.parameters() if parameter.requires_grad]
        model.requires_grad_(False)
        wrap_quantized(model, state)
    for place, adapter in made.items():
        adapted_layer(model, place, state).adapters[name] = adapter.train(model.training)
    for place in copied:
        wrapper = trained_copies(model, place, state)
        wrapper.adapters[name] = wrapper.copy().train(model.training)
    if prompt is not None:
        virtual_embedding(model, state).add(name, prompt)
        if isinstance(prompt, Prefix):
            wrap_stacks(model, state)
    state.configs[name] = config
    activate(model, name)
    train_only(model, name)


def remove_adapter(model: nn.Module, name: str) -> None:
    """Take one adapter out; without the last adapter the model is as it was."""
    state = adapters_of(model)
    state.config(name)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged into the weights; unmerge first")
    if len(state.configs) == 1:
        eject(model)
        return
    for place, wrapper in list(wrappers_in(model)):
        if isinstance(wrapper, VirtualEmbedding):
            if name in wrapper.ranges:
                wrapper.remove(name)
        elif name in wrapper.adapters:
            del wrapper.adapters[name]
        # A quantized layer stays wrapped for its gradients, the embedding so that no id is given out twice.
        if not wrapper.adapters and not isinstance(wrapper.base, QuantizedLinear | nn.Embedding | QuantizedEmbedding):
            unwrap(model, place, wrapper)
    if not any(isinstance(module, Prefix) for module in model.modules()):
        unwrap_stacks(model)
    del state.configs[name]
    left = tuple(
        Selection(names=tuple(one for one in selection.names if one != name), rows=selection.rows)
        for selection in state.selections
    )
    state.select(*left)


def eject(model: nn.Module, *, keep_merged: bool = False) -> None:
    """Take all adapters out: every module is back in its place, and as trainable as before.

    Args:
        model: adapted model.
        keep_merged: leave merged adapters in the weights (`merge`), and a head that was trained whole in its place.

    Raises:
        ConfigError: adapters are merged and `keep_merged` is not set, or the other way round.
    """
    state = adapters_of(model)
    if bool(state.merged) != keep_merged:
        raise ConfigError(
            f"merged adapters: {', '.join(state.merged) or 'none'}, and keep_merged is {keep_merged}; "
            "unmerge first, or set keep_merged to leave them in the weights"
        )
    for place, wrapper in list(wrappers_in(model)):
        unwrap(model, place, wrapper)
    unwrap_stacks(model)
    for parameter in state.thawed:
        parameter.requires_grad_(True)


def activate(model: nn.Module, *names: str) -> None:
    """Let these adapters act on every row, one after the other, and no others; without names the model acts alone."""
    adapters_of(model).select(Selection(names=names))


def activate_rows(model: nn.Module, groups: Sequence[tuple[Sequence[str], RowSelection]]) -> None:
    """Let each group's adapters act on its rows of the batch; rows in no group use the model alone.

    Raises:
        InputError: an adapter is unknown, or a row is in two groups.
    """
    adapters_of(model).select(*(Selection(names=tuple(names), rows=row_numbers(rows)) for names, rows in groups))


@contextmanager
def activated(
    model: nn.Module, *names: str, rows: Sequence[tuple[Sequence[str], RowSelection]] | None = None
) -> Iterator[None]:
    """Call `activate`, or `activate_rows` where rows are given, for the length of a block."""
    state = adapters_of(model)
    before = state.selections
    if rows is None:
        activate(model, *names)
    elif names:
        raise InputError(
            f"adapters {', '.join(names)} are named for all rows, and others for some rows; use one of the two ways"
        )
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
    for _, wrapper in wrappers_in(model):
        for name, adapter in wrapper.adapters.items():
            adapter.requires_grad_(name in names)


def adapters_of(model: nn.Module) -> Adapters:
    """The adapters of a model and the selections that act.

    Raises InputError for a model without adapters.
    """
    state = _state(model)
    if state is None:
        raise InputError("the model has no adapters; add one with add_adapter or load_adapter")
    return state


def virtual_ids(model: nn.Module, name: str) -> tuple[int, ...]:
    """The token ids of a soft prompt or a prefix, to be put in front of a text.

    Raises InputError for an adapter without virtual tokens.
    """
    state = adapters_of(model)
    config = state.config(name)
    for _, wrapper in wrappers_in(model):
        if isinstance(wrapper, VirtualEmbedding) and name in wrapper.ranges:
            return tuple(range(*wrapper.ranges[name]))
    raise InputError(
        f"adapter {name!r} ({type(config).__name__}) has no virtual tokens; only prompts and prefixes have them"
    )


def adapter_modules(model: nn.Module, name: str) -> dict[str, nn.Module]:
    """The parts of an adapter, by the name of the module each stands at."""
    adapters_of(model).config(name)
    return {place: wrapper.adapters[name] for place, wrapper in wrappers_in(model) if name in wrapper.adapters}


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """Parameters of a model.

    Attributes:
        trainable: number of parameters that train.
        total: number of all parameters; a quantized matrix counts as the matrix it stands for.
    """

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Share of the parameters that train."""
        return self.trainable / self.total

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} parameters train ({self.share:.2%})"


def count_parameters(model: nn.Module) -> ParameterCounts:
    """Count the parameters of a model, and those that train."""
    parameters = list(model.parameters())
    stored = sum(one.rows * one.columns for one in model.modules() if isinstance(one, QuantizedMatrix))
    return ParameterCounts(
        trainable=sum(one.numel() for one in parameters if one.requires_grad),
        total=stored + sum(one.numel() for one in parameters),
    )


def _check_name(name: str, state: Adapters) -> None:
    check_adapter_name(name)
    if hasattr(nn.ModuleDict(), name):
        raise ConfigError(f"{name!r} cannot name an adapter: it is a word of Python's dict; choose another")
    if name in state.configs:
        raise ConfigError(f"there is an adapter {name!r} already; remove it, or choose another name")


def _state(model: nn.Module) -> Adapters | None:
    return next((wrapper.state for _, wrapper in wrappers_in(model)), None)
