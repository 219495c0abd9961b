"""Attention masks, as one tensor added to the scores, built once for a forward pass and shared by layers.

A pair is allowed when order (causal), document (segments), padding (key mask) and window all allow it.  If
only order restricts pairs, there is no tensor and the kernel draws the triangle itself.

Forbidden pairs get the most negative finite number rather than minus infinity, so that a padded row, which may
attend to nothing, yields finite numbers instead of NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

# Below this many keys, 16-bit attention on a CPU is faster as two matrix products and a softmax than through the
# fused kernel, whose inner products are not oneDNN's (docs/model.md has the figures).
EXPLICIT_KEYS: Final = 1024


@dataclass(frozen=True)
class Mask:
    """The arguments of an attention kernel for masking.

    Attributes:
        bias: (B|1, H|1, T, S) added to the scores, in the type of the queries; `None` adds nothing.
        causal: the kernel draws the triangle; only with T = S and without a bias.
        explicit: compute the scores with matrix products instead of the fused kernel.
        triangular: no query sees a later key and T = S, so the upper right quarter need not be computed.
    """

    bias: Tensor | None = None
    causal: bool = False
    explicit: bool = False
    triangular: bool = False

    def first(self) -> Mask:
        """The mask of the first query alone, if order forbids no pair."""
        assert not self.causal
        return replace(self, bias=None if self.bias is None else self.bias[:, :, :1], triangular=False)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Facts about T queries and S keys from which every mask follows.

    Attributes:
        query_order: (B|1, T) place of each query in time, counting only real tokens.
        key_order: (B|1, S) place of each key in time, likewise.
        query_segments: (B, T) document of each query, `None` when there is one document a row.
        key_segments: (B, S) document of each key.
        key_mask: (B, S) True where a key is a real token, `None` when all are.
        causal: a query may not attend to later keys.
        aligned: queries and keys are the same tokens, without a cache.
        all_past: with a cache: every key is visible to every query (one new token, rows of equal length).
        sees: (B, T, S) True where a query may attend to a key, in place of order.
    """

    query_order: Tensor
    key_order: Tensor
    query_segments: Tensor | None = None
    key_segments: Tensor | None = None
    key_mask: Tensor | None = None
    causal: bool
    aligned: bool = True
    all_past: bool = False
    sees: Tensor | None = None


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type matrix products run in: autocast's where it is on, that of x otherwise."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def build_mask(
    pairs: Pairs, *, window: int | None = None, bias: Tensor | None = None, precise: bool = False, x: Tensor
) -> Mask:
    """The mask of all layers with this window, for activations like x.

    Args:
        pairs: facts about the queries and keys.
        window: latest tokens a query may attend to.
        bias: (B|1, H, T|1, S) added by position.
        precise: scores are large (T5 does not scale them), so they are rounded to 16 bits only in training.
        x: (B, T, D).
    """
    queries, keys = pairs.query_order.shape[-1], pairs.key_order.shape[-1]
    dtype = compute_dtype(x)
    explicit = _explicit(x, dtype, queries, keys) and (not precise or torch.is_grad_enabled())
    if window is not None and window >= keys:
        window = None
    restricted = pairs.query_segments is not None or pairs.key_mask is not None or pairs.sees is not None
    if bias is None and window is None and not restricted:
        if not pairs.causal or pairs.all_past:
            return Mask(explicit=explicit)
        if pairs.aligned and not explicit:
            return Mask(causal=True)
    allowed = _allowed(pairs, window)
    triangular = pairs.causal and pairs.aligned and queries == keys
    return Mask(bias=_additive(allowed, bias, dtype), explicit=explicit, triangular=triangular)


def _explicit(x: Tensor, dtype: torch.dtype, queries: int, keys: int) -> bool:
    return x.device.type == "cpu" and dtype.itemsize == 2 and keys <= EXPLICIT_KEYS and queries > 1


def _allowed(pairs: Pairs, window: int | None) -> Tensor | None:
    """(B|1, 1, T|1, S) True where a query may attend to a key; `None` if every pair is allowed."""
    conditions = []
    query, key = pairs.query_order[:, :, None], pairs.key_order[:, None, :]
    if pairs.causal:
        conditions.append(key <= query)
    if window is not None:
        conditions.append(query - key < window)
    if pairs.query_segments is not None and pairs.key_segments is not None:
        conditions.append(pairs.query_segments[:, :, None] == pairs.key_segments[:, None, :])
    if pairs.key_mask is not None:
        conditions.append(pairs.key_mask[:, None, :])
    if pairs.sees is not None:
        conditions.append(pairs.sees)
    if not conditions:
        return None
    allowed = conditions[0]
    for condition in conditions[1:]:
        allowed = allowed & condition
    return allowed[:, None]


def _additive(allowed: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if allowed is None:
        return None if bias is None else bias.to(dtype)
    lowest = torch.finfo(dtype).min
    open_value = torch.zeros((), dtype=dtype, device=allowed.device) if bias is None else bias.to(dtype)
    return torch.where(allowed, open_value, lowest)
