"""Attention: scaled dot products between queries and keys, and the values' average they weigh.

    q = x Wq   (B, T, H, C)        multi-head: K = H      (Vaswani et al. 2017, arXiv:1706.03762)
    k = y Wk   (B, S, K, C)        multi-query: K = 1     (Shazeer 2019, arXiv:1911.02150)
    v = y Wv   (B, S, K, C)        grouped: 1 < K < H     (Ainslie et al. 2023, arXiv:2305.13245)

y is x itself, or the encoder's output in cross attention.  The three projections stay separate matrices, so that
adapters and checkpoints can name them.  No block-sparse attention: a sliding window is a mask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.model.cache import Cache, Step
from lavra.model.config import ModelConfig
from lavra.model.dropout import draws_here
from lavra.model.dropout import dropout as drop
from lavra.model.masks import Mask
from lavra.model.positions import Rotation
from lavra.model.recompute import dropped_attention

# Queries in a half, below which two products cost more than the quarter they save.
_WORTH_HALVING = 64


class Attention(nn.Module):
    """(B, T, D) -> (B, T, D)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.layer = layer
        self.scale = config.attention_scale if config.attention_scale is not None else config.head_dim**-0.5
        if config.attention_scale_by_layer:
            self.scale /= layer + 1
        self.dropout = config.dropout.attention
        wide, narrow = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.query = nn.Linear(config.hidden_size, wide, bias=config.attention_bias)
        self.key = nn.Linear(config.hidden_size, narrow, bias=config.attention_bias)
        self.value = nn.Linear(config.hidden_size, narrow, bias=config.attention_bias)
        self.output = nn.Linear(wide, config.hidden_size, bias=config.attention_output_bias)

    def forward(
        self,
        x: Tensor,
        mask: Mask,
        *,
        rotation: Rotation | None = None,
        cache: Cache | None = None,
        step: Step | None = None,
    ) -> Tensor:
        """Self-attention of (B, T, D)."""
        q, k, v = self.project(x, rotation)  # (B, T, H, C), (B, T, K, C), (B, T, K, C)
        if cache is not None and step is not None:
            k, v = cache.write(self.layer, step, k, v)  # (B, S, K, C)
        return self._attend(q, k, v, mask)

    def project(self, x: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, D) -> queries (B, T, H, C), keys and values (B, T, K, C); queries and keys turned."""
        q = self._split(self.query(x), self.num_heads)
        k, v = self.keys_values(x)
        if rotation is not None:
            q, k = rotation.apply(q), rotation.apply(k)
        return q, k, v

    def first(self, x: Tensor, mask: Mask) -> Tensor:
        """Self-attention of (B, T, D) for the first token alone, without rotation: (B, 1, D)."""
        return self.cross(x[:, :1], *self.keys_values(x), mask.first())

    def cross(self, x: Tensor, keys: Tensor, values: Tensor, mask: Mask) -> Tensor:
        """Attention of (B, T, D) to given keys and values (B, S, K, C)."""
        return self._attend(self._split(self.query(x), self.num_heads), keys, values, mask)

    def keys_values(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, D) -> keys and values, each (B, S, K, C)."""
        return self._split(self.key(y), self.num_kv_heads), self._split(self.value(y), self.num_kv_heads)

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, self.head_dim)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        batch, time = q.shape[:2]
        dropout = self.dropout if self.training else 0.0
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H|K, T|S, C)
        mixed = attend(q, k, v, mask, scale=self.scale, dropout=dropout)  # (B, H, T, C)
        out: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, time, -1))
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float, dropout: float = 0.0) -> Tensor:
    """softmax(scale q k' + bias) v: (B, H, T, C), (B, K, S, C), (B, K, S, C) -> (B, H, T, C)."""
    if q.shape[2] == 1 and q.shape[1] != k.shape[1] and (mask.bias is None or mask.bias.shape[1] == 1):
        return _attend_grouped(q, k, v, mask, scale)
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = _repeat(k, repeats), _repeat(v, repeats)
    if mask.explicit or (dropout and q.device.type == "cpu" and not mask.causal):  # the kernel's draws are slow there
        return _attend_explicit(q * scale, k, v, mask, dropout)
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask.bias, dropout_p=dropout, is_causal=mask.causal, scale=scale
    )


def _attend_grouped(q: Tensor, k: Tensor, v: Tensor, mask: Mask, scale: float) -> Tensor:
    """Attention of one new token: the heads that share a key take the axis of time, and no key is copied."""
    batch, heads, _, channels = q.shape
    grouped = q.reshape(batch, k.shape[1], -1, channels)  # (B, K, H/K, C)
    bias = None if mask.bias is None else mask.bias.expand(-1, -1, grouped.shape[2], -1)
    mixed = functional.scaled_dot_product_attention(grouped, k, v, attn_mask=bias, scale=scale)
    return mixed.reshape(batch, heads, 1, channels)


def _attend_explicit(q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: float) -> Tensor:
    """Scaled queries; the first half of a triangle needs the first half of the keys only (a quarter less work)."""
    half = q.shape[2] // 2
    if not mask.triangular or mask.bias is None or half < _WORTH_HALVING:
        return _weigh(q, k, v, mask.bias, dropout)
    early = _weigh(q[:, :, :half], k[:, :, :half], v[:, :, :half], mask.bias[:, :, :half, :half], dropout)
    late = _weigh(q[:, :, half:], k, v, mask.bias[:, :, half:], dropout)
    return torch.cat((early, late), dim=2)


def _weigh(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    if dropout and draws_here(q) and (bias is None or not bias.requires_grad):
        return dropped_attention(q, k, v, bias, dropout)
    scores = q @ k.transpose(-1, -2)  # (B, H, T, S)
    if bias is not None:
        scores = scores + bias
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype)
    return drop(weights, dropout) @ v


def _repeat(x: Tensor, repeats: int) -> Tensor:
    """(B, K, S, C) -> (B, K * repeats, S, C): each key serves `repeats` neighbouring heads."""
    batch, heads, time, channels = x.shape
    return x[:, :, None].expand(batch, heads, repeats, time, channels).reshape(batch, heads * repeats, time, channels)
