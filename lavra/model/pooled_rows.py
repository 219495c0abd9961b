"""Pooling of padded rows with torch (`pooling.py`), for training and the torch embedder."""

from __future__ import annotations

import torch
from torch import Tensor

from lavra.model.pooling import Pooling


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """(B, T, D) hidden states and (B, T) True on real tokens, padding on the right -> (B, D)."""
    if pooling is Pooling.CLS:
        return hidden[:, 0]
    if pooling is Pooling.LAST:
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    weight = mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)
