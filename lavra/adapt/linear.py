"""The module in the place of a linear layer: the layer itself, and the adapters that act on it, by name.

    x  = prepare(x)             IA3 on a feed-forward layer's inner activations
    y  = base(x)                once for all rows
    y  = apply(x, y, base(x))   LoRA adds, IA3 multiplies, a bottleneck reads y; one adapter after the other

A base of INT8 or INT4 is differentiated through its stored weights, which are made anew for the backward pass
instead of being kept (Dettmers et al. 2023, arXiv:2305.14314).  Where the base rounds its inputs too, the gradient
ignores that rounding (Bengio et al. 2013, arXiv:1308.3432).
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
    """The part of an adapter at one linear layer; the default does nothing.

    Attributes:
        prepares: whether `prepare` changes the inputs.
    """

    prepares = False

    def prepare(self, x: Tensor) -> Tensor:
        """Change the layer's (..., K) inputs."""
        return x

    def apply_to(self, x: Tensor, y: Tensor, base: Tensor) -> Tensor:
        """Change the output of the layer.

        Args:
            x: (..., K) the inputs, prepared.
            y: (..., N) the output so far.
            base: (..., N) the layer's own output.
        """
        raise NotImplementedError

    def fold(self, weight: Tensor, bias: Tensor | None, base: Tensor) -> tuple[Tensor, Tensor | None]:
        """Change the layer's matrix and bias as `apply_to` changes its output.

        Args:
            weight: (N, K) matrix so far, in float32.
            bias: (N,) bias so far.
            base: (N, K) the layer's own matrix.

        Raises:
            ConfigError: the method is not a linear map.
        """
        raise NotImplementedError

    def fold_inputs(self, weight: Tensor) -> Tensor:
        """Fold `prepare` into the matrix (N, K)."""
        return weight


class AdaptedLinear(nn.Module):
    """The module (B, ..., K) -> (B, ..., N) in the place of a linear layer.

    Attributes:
        base: the layer.
        adapters: adapters by name; not every adapter of a model is on every layer.
        state: acting adapters, shared by the whole model.
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
    """Product of x and a quantized matrix; the backward pass uses the stored weights."""

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
    """Device of a layer's matrix."""
    return base.matrix.packed.device if isinstance(base, QuantizedLinear) else base.weight.device


def bias_of(base: BaseLinear) -> Tensor | None:
    """Bias (N,) of a layer in float32, detached; None for a layer without bias."""
    bias: Tensor | None = base.bias
    return None if bias is None else bias.detach().float()


@torch.no_grad()
def folded(base: nn.Linear, acting: Iterable[LinearAdapter]) -> tuple[Tensor, Tensor | None]:
    """The (N, K) matrix and (N,) bias, in float32, of a layer with these adapters folded in."""
    own = float_weight(base)
    weight, bias = own, bias_of(base)
    adapters = list(acting)
    for adapter in adapters:
        weight, bias = adapter.fold(weight, bias, own)
    for adapter in adapters:
        weight = adapter.fold_inputs(weight)
    return weight, bias
