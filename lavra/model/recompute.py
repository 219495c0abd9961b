"""What is cheap to compute is computed again for the backward pass instead of being kept until then.

Autograd keeps every factor of a product.  In a feed-forward layer that is the activated inner channels, beside the
channels before the non-linearity which it needs too; in attention the weights after dropout, beside those before it.
Both follow from what is kept anyway by a pass over memory, a fiftieth of the product's work (docs/log.md).

Deliberately absent: compiled code, in which the compiler chooses what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lavra.model.dropout import draw_kept

Compute = Callable[..., Tensor]


def linear_of(compute: Compute, inputs: tuple[Tensor, ...], linear: nn.Module) -> Tensor:
    """`linear(compute(*inputs))`, of which the inputs are kept and not what is computed of them.

    Args:
        compute: element by element, and the same each time.
        inputs: of equal shape (..., F).
        linear: (..., F) -> (..., D); anything but a plain layer is called as it is.
    """
    if type(linear) is nn.Linear and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        out: Tensor = _LinearOf.apply(compute, linear.weight, linear.bias, *inputs)  # type: ignore[no-untyped-call]
        return out
    made: Tensor = linear(compute(*inputs))
    return made


class _LinearOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, weight: Tensor, bias: Tensor | None, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(weight, *inputs)
        ctx.compute, ctx.has_bias = compute, bias is not None
        return functional.linear(compute(*inputs), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *inputs = ctx.saved_tensors
        _, of_weight, of_bias, *_ = ctx.needs_input_grad
        rows = gradient.reshape(-1, gradient.shape[-1])
        leaves = [one.detach().requires_grad_() for one in inputs]
        with torch.enable_grad():
            inner = ctx.compute(*leaves)
        of_inputs = torch.autograd.grad(inner, leaves, gradient @ weight.to(gradient.dtype))
        columns = inner.detach().reshape(-1, inner.shape[-1]).to(rows.dtype)
        return (
            None,
            (rows.T @ columns).to(weight.dtype) if of_weight else None,
            rows.sum(dim=0).to(weight.dtype) if of_bias and ctx.has_bias else None,
            *of_inputs,
        )


def dropped_attention(scores: Tensor, share: float, values: Tensor) -> Tensor:
    """`dropout(softmax(scores)) @ values`, of which one number a score is kept.

    A weight is never negative, so that its sign can say whether it was dropped.

    Args:
        scores: (..., T, S), on a CPU.
        share: probability of dropping a weight.
        values: (..., S, C).
    """
    out: Tensor = _DroppedAttention.apply(scores, share, values)  # type: ignore[no-untyped-call]
    return out


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, share: float, values: Tensor) -> Tensor:
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
        signed = torch.where(draw_kept(weights, share), weights, -weights)
        ctx.save_for_backward(signed, values)
        ctx.scale, ctx.dtype = 1 / (1 - share), scores.dtype
        out: Tensor = signed.clamp(min=0.0) @ (values * ctx.scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        signed, values = ctx.saved_tensors
        scaled = gradient * ctx.scale
        of_values = signed.clamp(min=0.0).transpose(-1, -2) @ scaled
        # Where a weight was dropped nothing comes back: what ReLU's derivative does.
        of_weights = torch.ops.aten.threshold_backward(scaled @ values.transpose(-1, -2), signed, 0.0)
        of_scores = torch.ops.aten._softmax_backward_data(of_weights.float(), signed.abs().float(), -1, torch.float32)
        return of_scores.to(ctx.dtype), None, of_values
