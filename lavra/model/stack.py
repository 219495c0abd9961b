"""A stack of blocks with their shared tensors: masks, rotation, position bias, cache bookkeeping, the final norm.

The decoder, the encoder and both halves of an encoder-decoder are this class with other settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lavra.base.errors import InputError
from lavra.model.block import Block, Context
from lavra.model.cache import Cache, Step
from lavra.model.config import ModelConfig, Positions
from lavra.model.dropout import dropout
from lavra.model.masks import Mask, Pairs, build_mask
from lavra.model.norm import build_norm
from lavra.model.position_formulas import alibi_slopes
from lavra.model.positions import RelativeBias, Rotary, alibi_bias


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The positions of the tokens of a batch.

    Attributes:
        positions: (B|1, T) position of each token.
        segments: (B, T) document of each token, 0 for padding; `None` when each row is one document.
        real: (B, T) False on padding; `None` when there is none.
        cache: keys and values of earlier tokens.
        step: slots of the new tokens in the cache.
    """

    positions: Tensor
    segments: Tensor | None = None
    real: Tensor | None = None
    cache: Cache | None = None
    step: Step | None = None


@dataclass(frozen=True, kw_only=True)
class SourceStates:
    """The encoder's states that a decoder attends to.

    Attributes:
        hidden: (B, S, D), or `None` if the cache already has its keys and values.
        mask: mask of the attention to them.
    """

    hidden: Tensor | None
    mask: Mask


def lay_out(
    input_ids: Tensor,
    *,
    positions: Tensor | None,
    segments: Tensor | None,
    attention_mask: Tensor | None,
    cache: Cache | None,
) -> Rows:
    """Check the facts about a batch against each other and fill in its positions.

    Raises InputError for combinations that have no meaning.
    """
    time = input_ids.shape[1]
    for name, value in (("positions", positions), ("segments", segments), ("attention_mask", attention_mask)):
        if value is not None and value.shape[-1] != time:
            raise InputError(
                f"{name} has {value.shape[-1]} columns and input_ids {time}; "
                "give one for each token (with a cache: the new tokens only)"
            )
    real = None if attention_mask is None else attention_mask.bool()
    if cache is not None:
        if segments is not None:
            raise InputError(
                "segments and a cache were given together; packed rows are for training; give one text a row"
            )
        if cache.batch_size != input_ids.shape[0]:
            raise InputError(
                f"the batch has {input_ids.shape[0]} rows and the cache {cache.batch_size}; make or select as many"
            )
        step = cache.plan(time, real, positions)
        return Rows(positions=step.positions, real=real, cache=cache, step=step)
    if positions is None:
        positions = _default_positions(input_ids, real, segments)
    return Rows(positions=positions, segments=segments, real=real)


def _default_positions(input_ids: Tensor, real: Tensor | None, segments: Tensor | None) -> Tensor:
    """Counts from 0 in each document, padding left out of the count: (B|1, T)."""
    time = torch.arange(input_ids.shape[1], device=input_ids.device)[None]  # (1, T)
    if segments is not None:
        starts = torch.ones_like(segments, dtype=torch.bool)
        starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
        return time - torch.where(starts, time, 0).cummax(-1).values
    if real is not None:
        return (real.long().cumsum(-1) - 1).clamp(min=0)
    return time


class Stack(nn.Module):
    """(B, T, D) -> (B, T, D) through L blocks."""

    def __init__(self, config: ModelConfig, *, num_layers: int, causal: bool, cross: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.precise = config.attention_scale is not None
        self.blocks = nn.ModuleList([Block(config, layer, cross=cross) for layer in range(num_layers)])
        self.norm = build_norm(config) if config.final_norm else None
        self.dropout = config.dropout.output
        self.windows = sorted({config.window(layer) for layer in range(num_layers)}, key=lambda window: window or 0)
        self.rotary = Rotary(config, config.rope) if config.rope is not None else None
        bias = config.relative_bias
        self.relative_bias = None if bias is None else RelativeBias(bias, config.num_heads, causal=causal)
        self.slopes, self.alibi_scale = _alibi(config)

    def forward(self, x: Tensor, rows: Rows, source: SourceStates | None = None) -> Tensor:
        """(B, T, D) embeddings -> (B, T, D) hidden states."""
        context = self.context(x, rows, source)
        for block in self.blocks:
            x = block(x, context)
        if rows.cache is not None and rows.step is not None:
            rows.cache.commit(rows.step)
        return self.finish(x)

    def finish(self, x: Tensor) -> Tensor:
        """(B, T, D) of the last block -> (B, T, D): apply the final norm, if the stack has a final norm."""
        if self.norm is not None:
            x = self.norm(x)
        return dropout(x, self.dropout, self.training)

    def context(self, x: Tensor, rows: Rows, source: SourceStates | None = None) -> Context:
        """The tensors that all blocks of a pass over (B, T, D) embeddings share."""
        if self.rotary is not None and self.rotary.dynamic and rows.segments is not None:
            raise InputError(
                "packed rows with dynamic rope scaling: its frequencies depend on each document's length; "
                "give one document a row"
            )
        key_positions = rows.positions
        if rows.cache is not None and rows.step is not None:
            key_positions = rows.cache.write_positions(rows.step)
        bias = self._bias(rows.positions, key_positions)
        pairs = self._pairs(rows, key_positions)
        return Context(
            masks={
                window: build_mask(pairs, window=window, bias=bias, precise=self.precise, x=x)
                for window in self.windows
            },
            rotation=None if self.rotary is None else self.rotary(rows.positions),
            cache=rows.cache,
            step=rows.step,
            source=None if source is None else source.hidden,
            source_mask=None if source is None else source.mask,
        )

    def _bias(self, query_positions: Tensor, key_positions: Tensor) -> Tensor | None:
        """(B|1, H, T|1, S) added to the scores by position alone."""
        if self.relative_bias is not None:
            bias: Tensor = self.relative_bias(query_positions, key_positions)
            return bias
        if self.slopes is not None:
            return alibi_bias(self.slopes, key_positions, self.alibi_scale)
        return None

    def _pairs(self, rows: Rows, key_positions: Tensor) -> Pairs:
        if rows.step is not None:
            return self._cached_pairs(rows.step, key_positions)
        order = torch.arange(rows.positions.shape[-1], device=rows.positions.device)[None]
        return Pairs(
            query_order=order,
            key_order=order,
            query_segments=rows.segments,
            key_segments=rows.segments,
            key_mask=rows.real,
            causal=self.causal,
        )

    def _cached_pairs(self, step: Step, key_positions: Tensor) -> Pairs:
        if step.sees is not None:
            return Pairs(query_order=step.positions, key_order=key_positions, causal=False, sees=step.sees)
        uniform = step.start is not None
        return Pairs(
            query_order=step.slots,
            key_order=torch.arange(key_positions.shape[-1], device=key_positions.device)[None],
            causal=self.causal,
            aligned=uniform and step.start == 0,
            all_past=uniform and step.slots.shape[1] == 1,
        )


def _alibi(config: ModelConfig) -> tuple[Tensor | None, float]:
    if config.positions is not Positions.ALIBI:
        return None, 1.0
    with torch.device("cpu"):  # outside parameters and buffers, like rotary frequencies
        return alibi_slopes(config.num_heads, torch), config.head_dim**-0.5
