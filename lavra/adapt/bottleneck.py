"""Bottleneck adapters: a small feed-forward layer behind a block's sub-layer, with a residual of its own.

    y + up(activation(down(y)))         Houlsby et al. 2019, arXiv:1902.00751, section 2.1

The last matrix of a sub-layer gives its output, so the adapter stands there, before dropout and the block's own
residual.  `up` is zero at the start, so that nothing changes at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.adapt.linear import BaseLinear, LinearAdapter, device_of, sizes
from lavra.adapt.methods.bottleneck import After, BottleneckConfig
from lavra.base.errors import ConfigError
from lavra.model.config import Activation
from lavra.model.feedforward import ACTIVATIONS

_LAST_MATRICES: Final = {
    After.ATTENTION: ("attention.output", "cross_attention.output"),
    After.FEED_FORWARD: ("feed_forward.down",),
}


class Bottleneck(LinearAdapter):
    """The adapter behind one sub-layer.

    Args:
        base: the sub-layer's last matrix.
        size: channels of the bottleneck.
        activation: non-linearity of the bottleneck.
    """

    def __init__(self, base: BaseLinear, *, size: int, activation: Activation) -> None:
        super().__init__()
        channels, device = sizes(base)[0], device_of(base)
        self.activate = ACTIVATIONS[activation]
        self.down = nn.Parameter(torch.empty(size, channels, device=device, dtype=torch.float32))
        self.down_bias = nn.Parameter(torch.zeros(size, device=device, dtype=torch.float32))
        self.up = nn.Parameter(torch.zeros(channels, size, device=device, dtype=torch.float32))
        self.up_bias = nn.Parameter(torch.zeros(channels, device=device, dtype=torch.float32))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as nn.Linear

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """Add the small layer's output."""
        inner = self.activate(functional.linear(y.to(self.down.dtype), self.down, self.down_bias))
        return y + functional.linear(inner, self.up, self.up_bias).to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """Raise ConfigError, because no matrix computes the same as the adapter."""
        raise ConfigError("a bottleneck adapter is not a linear map, so it cannot be merged; serve it beside the model")


def bottleneck_adapters(
    config: BottleneckConfig, layers: Mapping[str, BaseLinear], names: Mapping[str, tuple[str, ...]]
) -> dict[str, LinearAdapter]:
    """Fresh adapters behind the last matrices of sub-layers."""
    ends = tuple(f".{end}" for after in config.after for end in _LAST_MATRICES[after])
    chosen = [name for name in layers if name.endswith(ends)]
    return {name: Bottleneck(layers[name], size=config.size, activation=config.activation) for name in chosen}
