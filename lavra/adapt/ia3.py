"""IA3: a learned factor for every channel of keys, values and inner activations (Liu et al. 2022, arXiv:2205.05638).

On keys and values it multiplies what the layer gives, on the feed-forward layer what its last matrix is given.  All
factors are 1 at the start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lavra.adapt.linear import BaseLinear, LinearAdapter, device_of, sizes


class Ia3(LinearAdapter):
    """The factors of one layer: (K,) of its inputs, or (N,) of its outputs.

    Args:
        base: the layer.
        on_inputs: which of the two.
    """

    def __init__(self, base: BaseLinear, *, on_inputs: bool) -> None:
        super().__init__()
        outputs, inputs = sizes(base)
        self.prepares = on_inputs
        self.factors = nn.Parameter(torch.ones(inputs if on_inputs else outputs, device=device_of(base)))

    def prepare(self, x: Tensor) -> Tensor:
        """Multiply inputs."""
        return (x * self.factors).to(x.dtype) if self.prepares else x

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """Multiply outputs."""
        return y if self.prepares else (y * self.factors).to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """Multiply rows and bias."""
        if self.prepares:
            return weight, bias
        return weight * self.factors[:, None], None if bias is None else bias * self.factors

    def fold_inputs(self, weight: Tensor) -> Tensor:
        """Multiply columns."""
        return weight * self.factors if self.prepares else weight
