"""The feed-forward layer: two matrices and a non-linearity, optionally gated.

`down(act(up(x)))`, or `down(act(gate(x)) * up(x))` when gated: with SiLU that is SwiGLU, with GELU it is GEGLU
(Shazeer 2020, arXiv:2002.05202).  No mixture of experts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from lavra.model.config import Activation, ModelConfig
from lavra.model.dropout import dropout
from lavra.model.recompute import linear_of

ACTIVATIONS: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {
    Activation.RELU: functional.relu,
    Activation.GELU: functional.gelu,
    Activation.GELU_TANH: partial(functional.gelu, approximate="tanh"),
    Activation.SILU: functional.silu,
}


class FeedForward(nn.Module):
    """(B, T, D) -> (B, T, D) through F inner channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes, bias = (config.hidden_size, config.feed_forward_size), config.feed_forward_bias
        self.gate = nn.Linear(*sizes, bias=bias) if config.gated else None
        self.up = nn.Linear(*sizes, bias=bias)
        self.down = nn.Linear(sizes[1], sizes[0], bias=bias)
        self.activate = ACTIVATIONS[config.activation]
        self.dropout = config.dropout.feed_forward

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        up = self.up(x)  # (B, T, F)
        inputs = (up,) if self.gate is None else (self.gate(x), up)
        if self.dropout and self.training:
            out: Tensor = self.down(dropout(self._inner(*inputs), self.dropout))
            return out
        return linear_of(self._inner, inputs, self.down)

    def _inner(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        activated = self.activate(first)
        return activated if second is None else activated * second
