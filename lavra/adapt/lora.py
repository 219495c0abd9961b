"""LoRA: a linear layer's update as the product of two thin matrices (Hu et al. 2021, arXiv:2106.09685).

    y = W x + b + s B A x        A (R, K) random, B (N, R) zero at the start, so that nothing changes at first

With DoRA (Liu et al. 2024, arXiv:2402.09353) the rows of W + s B A keep their direction, and their length m is learned:

    y = m / |W + s B A| * (W + s B A) x + b        the norm counts as a constant in the backward pass (section 4.3)
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.adapt.linear import BaseLinear, LinearAdapter, bias_of, device_of, float_weight, sizes
from lavra.model.dropout import dropout as drop


class Lora(LinearAdapter):
    """The update of one layer.

    Args:
        base: the layer; DoRA reads its matrix.
        rank: R.
        scale: s, what the update is multiplied by.
        dropout: share of the inputs dropped in training.
        dora: whether rows have a length of their own.
    """

    magnitude: nn.Parameter | None

    def __init__(self, base: BaseLinear, *, rank: int, scale: float, dropout: float = 0.0, dora: bool = False) -> None:
        super().__init__()
        outputs, inputs = sizes(base)
        device = device_of(base)
        self.scale, self.dropout = scale, dropout
        self.a = nn.Parameter(torch.empty(rank, inputs, device=device, dtype=torch.float32))
        self.b = nn.Parameter(torch.zeros(outputs, rank, device=device, dtype=torch.float32))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as nn.Linear, and as PEFT
        self._base: tuple[BaseLinear, ...] = (
            (base,) if dora else ()
        )  # in a tuple, so that it is not a second owner of the weights
        self._norm: tuple[tuple[int, ...], Tensor] | None = None
        self.magnitude = nn.Parameter(row_lengths(float_weight(base)).to(device)) if dora else None

    @property
    def rank(self) -> int:
        """R."""
        return self.a.shape[0]

    def set(self, a: Tensor, b: Tensor, scale: float, magnitude: Tensor | None = None) -> None:
        """Take (R, K) and (N, R) matrices, perhaps of another rank, and (N,) lengths of rows."""
        device = self.a.device
        self.a = nn.Parameter(a.to(device, torch.float32, copy=True).contiguous(), self.a.requires_grad)
        self.b = nn.Parameter(b.to(device, torch.float32, copy=True).contiguous(), self.b.requires_grad)
        self.scale, self._norm = scale, None
        if self.magnitude is not None and magnitude is not None:
            self.magnitude = nn.Parameter(magnitude.to(device, torch.float32, copy=True), self.magnitude.requires_grad)

    def train(self, mode: bool = True) -> Self:
        """Lengths of rows are computed anew after training."""
        self._norm = None
        return super().train(mode)

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """Add the update."""
        dropped = drop(x, self.dropout, self.training)
        update = functional.linear(functional.linear(dropped.to(self.a.dtype), self.a), self.b) * self.scale
        if self.magnitude is None:
            return y + update.to(y.dtype)
        stretch = self.magnitude / self._length()
        return y + ((stretch - 1) * self._unbiased(dropped, base) + stretch * update).to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """Add s B A, or what rows of the wanted length differ by."""
        update = self.scale * (self.b @ self.a)
        if self.magnitude is None:
            return weight + update, bias
        stretch = (self.magnitude / row_lengths(base + update))[:, None]
        return weight + (stretch - 1) * base + stretch * update, bias

    def _unbiased(self, dropped: Tensor, base: Tensor) -> Tensor:
        """(..., N) W x; with dropout of the inputs that are left, as PEFT has it."""
        layer = self._base[0]
        if self.dropout and self.training:
            return functional.linear(dropped.to(torch.float32), float_weight(layer))
        bias = bias_of(layer)
        return base if bias is None else base - bias

    @torch.no_grad()
    def _length(self) -> Tensor:
        """(N,) |W + s B A| of each row; computed once for all evaluations with the same weights."""
        layer = self._base[0]
        stored = layer.weight if isinstance(layer, nn.Linear) else layer.matrix.packed
        tensors = (self.a, self.b, stored)
        if self.training or any(one.is_inference() for one in tensors):
            return row_lengths(float_weight(layer) + self.scale * (self.b @ self.a))
        key = tuple(part for one in tensors for part in (id(one), one.data_ptr(), one._version))
        if self._norm is None or self._norm[0] != key:
            self._norm = key, row_lengths(float_weight(layer) + self.scale * (self.b @ self.a))
        return self._norm[1]


def row_lengths(weight: Tensor) -> Tensor:
    """(N, K) -> (N,) the length of each row."""
    length: Tensor = torch.linalg.vector_norm(weight, dim=1)
    return length
