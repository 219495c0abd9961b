"""A twin of the model that reads and writes fastest: fewer products, over matrices laid out once.

Queries, keys and values are products with the same input, and so are the two halves of a gated feed-forward layer: each
group becomes one product.  On a CPU in float32 the matrices are laid out as oneDNN needs them: otherwise oneDNN does it
again at every product, which for a few tokens costs more than the product itself (docs/engine.md has the figures).

A model is fused from outside, module by module, into a twin of it; the model itself is not changed.  Adapted
layers still share one product, and each adapter changes its range of the outputs (`adapted.py`).  Quantized
modules go into the twin unchanged, and layers whose adapters change their inputs (IA3 in the feed-forward
layer) keep a product of their own.
"""

from __future__ import annotations

from copy import copy
from itertools import accumulate
from typing import Final, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.adapt.linear import AdaptedLinear
from lavra.adapt.prefix import PrefixStack
from lavra.base.errors import LavraError
from lavra.engine.runners.adapted import AddedPart, joins
from lavra.model.attention import Attention
from lavra.model.feedforward import FeedForward
from lavra.model.norm import RMSNorm
from lavra.model.positions import Rotation
from lavra.model.transformer import Head, Transformer

AnyTransformer = TypeVar("AnyTransformer", bound=Transformer)

_ONEDNN: Final = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
_EXACT: Final = 16  # rows up to which each number of them has products of its own
_FEW: Final = 8  # rows the layout is best for: it serves one row and hundreds well, one made for either does not


@torch.no_grad()
def fuse(model: AnyTransformer) -> AnyTransformer:
    """A twin that computes the same with fewer and faster products; it can be neither trained nor saved.

    Float matrices are copied: dropping the model afterwards gives their memory back, but for a tied head's, whose
    embedding stays.  A twin of a twin has the same matrices.
    """
    twin = cast(AnyTransformer, _twin(model))
    if type(model.head) is Head:
        twin.head = FusedHead(model.head, model.head_weight)
    return twin.eval()  # modules begin in training mode, in which attention drops out


def is_fused(model: nn.Module) -> bool:
    """Whether a model is a twin that `fuse` made."""
    return any(isinstance(module, FusedLinear) for module in model.modules())


def _twin(module: nn.Module, *, joined: bool = True) -> nn.Module:
    """A module like the given module over the same parameters, its parts fused; its projections only if `joined`."""
    if joined and type(module) is Attention and all(map(joins, (module.query, module.key, module.value))):
        return FusedAttention(module)
    if type(module) is FeedForward and joins(module.gate) and joins(module.up):
        return FusedFeedForward(module)
    if type(module) is nn.Linear:
        return FusedLinear(module)
    if type(module) is RMSNorm and module.weight.dtype == torch.float32:
        return FusedRMSNorm(module)
    twin = copy(module)
    twin._modules = {
        # Keys and values of a source are computed once, queries of it for every token.
        name: None if child is None else _twin(child, joined=name != "cross_attention")
        for name, child in module._modules.items()
    }
    if isinstance(twin, PrefixStack):
        twin.original = ()  # type: ignore[assignment]  # a twin is not taken apart again, and need not hold the model
    return twin


class FusedLinear(nn.Module):
    """(..., K) -> (..., N) for each of the given layers, plain or adapted, side by side, as one product."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        linears = [cast(nn.Linear, layer.base if isinstance(layer, AdaptedLinear) else layer) for layer in layers]
        biases: list[Tensor | None] = [linear.bias for linear in linears]
        given = [bias for bias in biases if bias is not None]
        self._matrix = Matrix([linear.weight for linear in linears], torch.cat(given) if given else None)
        ends = list(accumulate(linear.out_features for linear in linears))
        self.added = nn.ModuleList(
            AddedPart(layer, end - linear.out_features, end)
            for layer, linear, end in zip(layers, linears, ends, strict=True)
            if isinstance(layer, AdaptedLinear)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        out = self._matrix.product(x)
        for part in self.added:
            part(x, out)
        return out


class Matrix:
    """Rows of (N, K) matrices with the same K, and their bias; not a module, so that no code moves or saves it."""

    def __init__(self, weights: list[Tensor], bias: Tensor | None) -> None:
        weight = torch.cat([one.detach() for one in weights])
        self._bias = None if bias is None else bias.detach()
        self._packed = _ONEDNN and weight.device.type == "cpu" and weight.dtype == torch.float32
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _FEW) if self._packed else weight

    def product(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        if not self._packed:
            return functional.linear(x, self._weight, self._bias)
        rows = x.shape[:-1].numel()
        spare = _size_for(rows) - rows
        given = functional.pad(x.reshape(rows, -1), (0, 0, 0, spare)) if spare else x
        out: Tensor = torch.ops.mkldnn._linear_pointwise(given, self._weight, self._bias, "none", [], "")
        return out[:rows].view(*x.shape[:-1], -1) if spare else out


def _size_for(rows: int) -> int:
    """Rows a product is made for, at most a quarter more: oneDNN compiles one for every size, and keeps a thousand."""
    if rows <= _EXACT:
        return rows
    step = 1 << (rows.bit_length() - 3)
    return -(-rows // step) * step


class FusedAttention(Attention):
    """Attention with one product for its three projections; queries and keys are rotated together."""

    def __init__(self, attention: Attention) -> None:
        nn.Module.__init__(self)
        self.num_heads, self.num_kv_heads = attention.num_heads, attention.num_kv_heads
        self.head_dim, self.layer, self.scale = attention.head_dim, attention.layer, attention.scale
        self.dropout = attention.dropout
        self.projection = FusedLinear(attention.query, attention.key, attention.value)
        self.output = _twin(attention.output)  # type: ignore[assignment]

    def project(self, x: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """See `Attention`; computed as one product."""
        queries, keys = self.num_heads, self.num_kv_heads
        mixed = self._split(self.projection(x), queries + 2 * keys)  # (B, T, H + 2K, C)
        turned, v = mixed[:, :, : queries + keys], mixed[:, :, queries + keys :]
        if rotation is not None:
            turned = rotation.apply(turned)
        return turned[:, :, :queries], turned[:, :, queries:], v


class FusedFeedForward(nn.Module):
    """A gated feed-forward layer with one product for its two inner products."""

    def __init__(self, layer: FeedForward) -> None:
        super().__init__()
        assert layer.gate is not None
        self.inner = FusedLinear(layer.gate, layer.up)
        self.down = _twin(layer.down)
        self.activate = layer.activate

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        gate, up = self.inner(x).chunk(2, dim=-1)  # (B, T, F)
        out: Tensor = self.down(self.activate(gate) * up)
        return out


class FusedRMSNorm(nn.Module):
    """RMSNorm by PyTorch's own kernel: one call instead of seven."""

    def __init__(self, norm: RMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class FusedHead(Head):
    """A head over its own copy of its matrix, which a tied embedding does not share."""

    def __init__(self, head: Head, weight: Tensor) -> None:
        nn.Module.__init__(self)
        self.scale, self.activate, self.bias = head.scale, head.activate, head.bias
        self.dense = head.dense
        self.norm = head.norm
        self._matrix = Matrix([weight], head.bias)

    @property
    def weight(self) -> Tensor | None:  # type: ignore[override]
        """Raises: the matrix is packed for oneDNN; falling back to the tied embedding would be silently wrong."""
        raise LavraError("a fused head's matrix is laid out for products only; ask the model it was made of")

    def project(self, hidden: Tensor, tied: nn.Embedding) -> Tensor:
        """(..., D) from `head_hidden` -> (..., V)."""
        return self._matrix.product(hidden)
