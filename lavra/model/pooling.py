"""From the hidden states of a text's tokens to one vector (Reimers & Gurevych 2019, arXiv:1908.10084, §3)."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor


class Pooling(Enum):
    """How the hidden states of a text's tokens become one vector."""

    MEAN = "mean"
    CLS = "cls"  # the first token's
    LAST = "last"  # the last token's, the only one of a decoder that has read everything


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """(B, T, D) hidden states and (B, T) True on real tokens, padding on the right -> (B, D)."""
    if pooling is Pooling.CLS:
        return hidden[:, 0]
    if pooling is Pooling.LAST:
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    weight = mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)
