"""Prefix tuning: learned keys and values in front of a text, in every layer (Li & Liang 2021, arXiv:2101.00190).

A prefix's virtual tokens (`soft_prompt`) go through the model like other tokens, but each layer keeps the learned keys
and values for them: when keys and values pass the cache, after rotation, those of virtual tokens are
replaced by the learned ones.  That equals PEFT's `past_key_values`, works with any cache, and needs no change of
attention.

PEFT's quirks are kept, so that its folders mean the same here.  In an encoder-decoder the prefix is the decoder's, and
layer i takes the keys and values of number 2 i modulo L: of an even number of layers half the learned pairs are
never read.  Not here: the reparametrisation by an MLP, which PEFT folds into the tensor it saves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters
from lavra.adapt.layers import core_of
from lavra.adapt.methods.prefix import (
    PrefixConfig,
    kept_heads,
    layer_numbers,
    prefix_shape,
    read_prefix,
    split_prefix,
)
from lavra.adapt.peft_config import virtual_fields
from lavra.adapt.peft_content import AdapterContent, FillModules, StoredAdapter, TrainedAdapter, copy_stored
from lavra.adapt.peft_file import PROMPT
from lavra.base.errors import InputError
from lavra.model.block import Context
from lavra.model.cache import Cache, Step
from lavra.model.config import Kind
from lavra.model.stack import Rows, SourceStates, Stack
from lavra.model.transformer import Transformer
from lavra.quantize.modules import QuantizedEmbedding


class Prefix(nn.Module):
    """(n, L, 2, K, C) learned keys and values.

    pairs: pairs of keys and values, by number; layer i reads number `numbers[i]`.
        numbers: numbers of the pairs, one a layer.
        numbers: one a layer.
    """

    def __init__(self, pairs: Tensor, numbers: tuple[int, ...]) -> None:
        super().__init__()
        self.pairs = nn.Parameter(pairs.detach().to(torch.float32, copy=True).contiguous())
        self.numbers = numbers

    @property
    def num_tokens(self) -> int:
        """Number of virtual tokens."""
        return self.pairs.shape[0]

    def of_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """(n, K, C) keys and values of a layer."""
        pair = self.pairs[:, self.numbers[layer]]
        return pair[:, 0], pair[:, 1]


class PrefixCache:
    """The cache that a layer sees: keys and values of a prefix's tokens are replaced on their way into it.

    It has the methods of `lavra.model.cache.Cache` that layers use.

    Args:
        inner: the cache that keeps them; `None` keeps none.
        places: (B, T) the row of the prefixes that each token stands for, -1 for none.
        prefixes: prefixes in the order of their rows.
    """

    def __init__(self, inner: Cache | None, places: Tensor, prefixes: list[Prefix]) -> None:
        self._inner, self._prefixes = inner, prefixes
        self._inside = (places >= 0)[..., None, None]  # (B, T, 1, 1)
        self._rows = places.clamp(min=0)
        self.source: list[tuple[Tensor, Tensor]] = [] if inner is None else inner.source
        self.source_mask = None if inner is None else inner.source_mask

    def write(self, layer: int, step: Step, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, K, C) keys and values of the new tokens -> those of all tokens, each (B, S, K, C)."""
        learned = [prefix.of_layer(layer) for prefix in self._prefixes]
        keys = self._exchanged(keys, torch.cat([pair[0] for pair in learned]))
        values = self._exchanged(values, torch.cat([pair[1] for pair in learned]))
        return (keys, values) if self._inner is None else self._inner.write(layer, step, keys, values)

    def _exchanged(self, own: Tensor, learned: Tensor) -> Tensor:
        """(B, T, K, C), (P, K, C) -> (B, T, K, C)."""
        return torch.where(self._inside, learned[self._rows].to(own.dtype), own)


class PrefixStack(Stack):
    """A stack whose layers see learned keys and values at a prefix's places.

    It shares all parts of the original stack, which stays unchanged.

    Args:
        stack: original stack.
        state: object in which the embedding leaves the places.
        prefixes: modules that hold the prefixes; `None` in a stack that can have none (T5's encoder).
    """

    def __init__(self, stack: Stack, state: Adapters, prefixes: list[nn.ModuleDict] | None) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(stack.__dict__)
        self.original = (stack,)  # in a tuple, so that it is not part of itself
        self.state, self.has_prefixes = state, prefixes is not None
        self.tables = tuple(prefixes or ())

    def context(self, x: Tensor, rows: Rows, source: SourceStates | None = None) -> Context:
        """The context that the layers of a pass share, with a cache that exchanges keys and values."""
        places, self.state.prefix_places = self.state.prefix_places, None
        context = super().context(x, rows, source)
        if places is None:
            return context
        if not self.has_prefixes:
            raise InputError(
                "a prefix's virtual tokens are in the source; its keys and values are the decoder's, "
                "so put them in front of decoder_input_ids"
            )
        prefixes = [module for table in self.tables for module in table.values() if isinstance(module, Prefix)]
        cache = PrefixCache(context.cache, places, prefixes)
        step = context.step if context.step is not None else _no_step(rows)
        return replace(context, cache=cast(Cache, cache), step=step)


def _no_step(rows: Rows) -> Step:
    """A step that keeps nothing; a layer asks a cache only where it has a step."""
    lengths = rows.positions[:, -1]
    return Step(rows.positions, None, None, rows.positions.shape[1], lengths, rows.positions)


def fresh_prefix(config: PrefixConfig, core: Transformer, base: nn.Embedding | QuantizedEmbedding) -> Prefix:
    """A prefix before training.

    Args:
        config: configuration of the prefix.
        core: the model.
        base: token embedding of the model; the prefix is on its device.

    Raises:
        ConfigError: PEFT has no prefix for such a model.
    """
    shape = (config.num_tokens, *prefix_shape(core.config))
    return Prefix(config.init_std * torch.randn(shape).to(base.weight.device), layer_numbers(core.config))


def read_prefix_pairs(stored: StoredAdapter) -> tuple[PrefixConfig, FillModules]:
    """The configuration of a stored prefix, and a function that fills its part.

    Raises:
        CheckpointError: the tensor is missing or is of another model, or a setting cannot be honoured.
    """
    config = read_prefix(stored.fields, stored.saved)
    pairs = split_prefix(stored.prompt(), config.num_tokens, core_of(stored.model)[1].config)

    def fill(parts: dict[str, nn.Module]) -> None:
        (part,) = parts.values()
        copy_stored(cast(Prefix, part).pairs, pairs, PROMPT)

    return config, fill


def write_prefix_pairs(adapter: TrainedAdapter) -> AdapterContent:
    """The prefix in PEFT's form."""
    (part,) = adapter.parts.values()
    prefix, config = cast(Prefix, part), core_of(adapter.model)[1].config
    heads = kept_heads(config)
    fields = {
        **virtual_fields(prefix.num_tokens, token_dim=heads * config.head_dim, heads=heads, layers=config.num_layers),
        "prefix_projection": False,
        "num_transformer_submodules": 2 if config.kind is Kind.ENCODER_DECODER else 1,
    }
    copied = prefix.pairs.repeat_interleave(heads // config.num_kv_heads, dim=3)  # (n, L, 2, H', C)
    return AdapterContent(fields=fields, tensors={PROMPT: copied.flatten(1)})
