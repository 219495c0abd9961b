"""Prefix tuning: learned keys and values in front of a text, in every layer (Li & Liang 2021, arXiv:2101.00190).

A prefix's virtual tokens (`soft_prompt`) go through the model like others, but what each layer keeps for them is not
what they carry: as keys and values pass the cache, turned already, those at their places are exchanged for the learned
ones.  That equals PEFT's `past_key_values`, works with any cache, and leaves attention as it is.

PEFT's quirks are kept, so that its folders mean the same here.  In an encoder-decoder the prefix is the decoder's, and
layer i takes the keys and values of number 2 i modulo L: of an even number of layers half the learned pairs are
never read.  Not here: the reparametrisation by an MLP, which PEFT folds into what it saves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters
from lavra.base.errors import ConfigError, InputError
from lavra.model.block import Context
from lavra.model.cache import Cache, Step
from lavra.model.config import Kind, ModelConfig
from lavra.model.stack import Rows, SourceStates, Stack


class Prefix(nn.Module):
    """(n, L, 2, K, C) learned keys and values.

    Args:
        pairs: of each number; layer i reads number `numbers[i]`.
        numbers: one a layer.
    """

    def __init__(self, pairs: Tensor, numbers: tuple[int, ...]) -> None:
        super().__init__()
        self.pairs = nn.Parameter(pairs.detach().to(torch.float32, copy=True).contiguous())
        self.numbers = numbers

    @property
    def num_tokens(self) -> int:
        """Virtual tokens."""
        return self.pairs.shape[0]

    def of_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """(n, K, C) keys and values of a layer."""
        pair = self.pairs[:, self.numbers[layer]]
        return pair[:, 0], pair[:, 1]


def prefix_shape(config: ModelConfig) -> tuple[int, int, int, int]:
    """(L, 2, K, C) of a prefix's token.

    Raises:
        ConfigError: PEFT has no prefix for such a model.
    """
    if config.kind is Kind.ENCODER:
        raise ConfigError(
            "prefix tuning needs a model that keeps keys and values, and an encoder keeps none; "
            "use prompt tuning, LoRA or a bottleneck"
        )
    if config.num_decoder_layers not in (None, config.num_layers):
        raise ConfigError(
            f"the encoder has {config.num_layers} layers and the decoder {config.num_decoder_layers}; "
            "PEFT's prefix has one number for both: use prompt tuning or LoRA"
        )
    return config.num_layers, 2, config.num_kv_heads, config.head_dim


def layer_numbers(config: ModelConfig) -> tuple[int, ...]:
    """Which of a prefix's pairs each layer reads."""
    step = 2 if config.kind is Kind.ENCODER_DECODER else 1
    return tuple(step * layer % config.num_layers for layer in range(config.num_layers))


class PrefixCache:
    """The cache a layer sees: keys and values of a prefix's tokens are exchanged on their way into it.

    It has the methods of `lavra.model.cache.Cache` that layers use.

    Args:
        inner: what keeps them; nothing does where that is `None`.
        places: (B, T) which row of the prefixes each token stands for, -1 for none.
        prefixes: in the order of their rows.
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

    It shares all parts of the stack it stands for, which stays as it is.

    Args:
        stack: that stack.
        state: in which the embedding leaves the places.
        prefixes: where they are; `None` in a stack that can have none (T5's encoder).
    """

    def __init__(self, stack: Stack, state: Adapters, prefixes: list[nn.ModuleDict] | None) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(stack.__dict__)
        self.original = (stack,)  # in a tuple, so that it is no part of itself
        self.state, self.has_prefixes = state, prefixes is not None
        self.tables = tuple(prefixes or ())

    def context(self, x: Tensor, rows: Rows, source: SourceStates | None = None) -> Context:
        """What the layers of a pass share, with a cache that exchanges keys and values."""
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
    """Nothing is kept, and a layer asks a cache only where it has a step."""
    lengths = rows.positions[:, -1]
    return Step(rows.positions, None, None, rows.positions.shape[1], lengths, rows.positions)
