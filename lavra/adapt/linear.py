"""What stands in the place of a linear layer: the layer itself, and the adapters that act on it, by name.

    x  = prepare(x)             IA3 on a feed-forward layer's inner activations
    y  = base(x)                once for all rows
    y  = apply(x, y, base(x))   LoRA adds, IA3 multiplies, a bottleneck reads y; one adapter after the other

A base of INT8 or INT4 is differentiated through the weights it stores, which are made anew for the backward pass
instead of being kept (Dettmers et al. 2023, arXiv:2305.14314); where it rounds its inputs too, the gradient passes as
if it did not (Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters
from lavra.quantize.modules import QuantizedLinear, QuantizedMatrix

BaseLinear = nn.Linear | QuantizedLinear


class LinearAdapter(nn.Module):
    """What one method adds to one linear layer; the default does nothing.

    Attributes:
        prepares: whether `prepare` does anything.
    """

    prepares = False

    def prepare(self, x: Tensor) -> Tensor:
        """(..., K) inputs -> what the layer is given instead."""
        return x

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """One step on the way to the output.

        Args:
            x: (..., K) the inputs, prepared.
            y: (..., N) the output so far.
            base: (..., N) the layer's own output.
        """
        raise NotImplementedError

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """The same step on the layer's matrix.

        Args:
            weight: (N, K) so far, in float32.
            bias: (N,) so far.
            base: (N, K) the layer's own matrix.

        Raises:
            ConfigError: the method is no linear map.
        """
        raise NotImplementedError

    def fold_inputs(self, weight: Tensor) -> Tensor:
        """The matrix (N, K) with `prepare` in it."""
        return weight


class AdaptedLinear(nn.Module):
    """(B, ..., K) -> (B, ..., N), in the place of a linear layer.

    Attributes:
        base: the layer.
        adapters: by name; not every adapter of a model is on every layer.
        state: which of them act, shared by the whole model.
    """

    def __init__(self, base: BaseLinear, state: Adapters) -> None:
        super().__init__()
        self.base, self.adapters, self.state = base, nn.ModuleDict(), state
        self.training = base.training

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., K) -> (B, ..., N)."""
        selections = self.state.selections
        if not selections:
            return self._product(x)
        if len(selections) == 1 and selections[0].rows is None:
            return self._all_rows(x, self._acting(selections[0].names))
        return self._by_rows(x)

    def _acting(self, names: tuple[str, ...]) -> list[LinearAdapter]:
        return [cast(LinearAdapter, self.adapters[name]) for name in names if name in self.adapters]

    def _all_rows(self, x: Tensor, acting: list[LinearAdapter]) -> Tensor:
        for adapter in acting:
            x = adapter.prepare(x)
        base = self._product(x)
        y = base
        for adapter in acting:
            y = adapter.apply_to(x, y, base)
        return y

    def _by_rows(self, x: Tensor) -> Tensor:
        groups = [(one.rows, self._acting(one.names)) for one in self.state.selections]
        placed = [(rows.to(x.device), acting) for rows, acting in groups if rows is not None and acting]
        preparing = [(rows, acting) for rows, acting in placed if any(adapter.prepares for adapter in acting)]
        if preparing:
            x = x.clone()  # one copy, filled in place: as many groups as rows must not cost as many copies
            for rows, acting in preparing:
                part = x.index_select(0, rows)
                for adapter in acting:
                    part = adapter.prepare(part)
                x.index_copy_(0, rows, part)
        base = self._product(x)
        y = base.clone() if placed else base
        for rows, acting in placed:
            given, own = x.index_select(0, rows), base.index_select(0, rows)
            part = own
            for adapter in acting:
                part = adapter.apply_to(given, part, own)
            y.index_copy_(0, rows, part)
        return y

    def _product(self, x: Tensor) -> Tensor:
        base = self.base
        if isinstance(base, QuantizedLinear) and torch.is_grad_enabled() and x.requires_grad:
            product: Tensor = _StoredProduct.apply(x, base.matrix)  # type: ignore[no-untyped-call]
            return product if base.bias is None else product + base.bias
        out: Tensor = base(x)
        return out


class _StoredProduct(torch.autograd.Function):
    """x times a quantized matrix; backward by the weights it stores."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: QuantizedMatrix) -> Tensor:
        ctx.matrix = matrix
        return matrix.linear(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        weight: Tensor = ctx.matrix.dequantized(gradient.dtype)
        return gradient @ weight, None


def sizes(base: BaseLinear) -> tuple[int, int]:
    """(N, K) outputs and inputs of a layer."""
    if isinstance(base, QuantizedLinear):
        return base.matrix.rows, base.matrix.columns
    return base.out_features, base.in_features


def float_weight(base: BaseLinear) -> Tensor:
    """(N, K) the matrix of a layer in float32, detached."""
    if isinstance(base, QuantizedLinear):
        return base.matrix.dequantized(torch.float32)
    return base.weight.detach().float()


def device_of(base: BaseLinear) -> torch.device:
    """Where a layer's matrix is."""
    return base.matrix.packed.device if isinstance(base, QuantizedLinear) else base.weight.device


def bias_of(base: BaseLinear) -> Tensor | None:
    """(N,) the bias of a layer in float32, detached, where it has one."""
    bias: Tensor | None = base.bias
    return None if bias is None else bias.detach().float()


@torch.no_grad()
def folded(base: nn.Linear, acting: Iterable[LinearAdapter]) -> tuple[Tensor, Tensor | None]:
    """The (N, K) matrix and (N,) bias, in float32, of a layer with these adapters in it."""
    own = float_weight(base)
    weight, bias = own, bias_of(base)
    adapters = list(acting)
    for adapter in adapters:
        weight, bias = adapter.fold(weight, bias, own)
    for adapter in adapters:
        weight = adapter.fold_inputs(weight)
    return weight, bias
