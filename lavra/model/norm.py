"""Normalisation: LayerNorm (Ba et al. 2016, arXiv:1607.06450) and RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467).

Statistics are computed in float32 whatever the activations' type, as `transformers` does, because a sum of
squares over thousands of bfloat16 values has no digits left.  No fused kernel: torch.compile makes one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lavra.model.config import ModelConfig, Norm


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last axis."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in the type of x."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(x.dtype)

    def extra_repr(self) -> str:
        """Size and eps, for `print(model)`."""
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


def build_norm(config: ModelConfig) -> nn.Module:
    """The normalisation of a configuration, over D channels."""
    if config.norm is Norm.RMS:
        return RMSNorm(config.hidden_size, config.norm_eps)
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
