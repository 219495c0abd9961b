"""Cheap results are computed again for the backward pass instead of being kept until then.

Autograd keeps every factor of a product.  In a feed-forward layer that is the activated inner channels, beside the
channels before the non-linearity, which it needs too; in attention the weights after dropout, beside those before it.
Both follow from kept tensors; computing them again takes 1 to 4 % of a step (docs/log.md).

Deliberately absent: compiled code, in which the compiler chooses the kept tensors.
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

_CACHED_BYTES = 4 << 20


def linear_of(compute: Compute, inputs: tuple[Tensor, ...], linear: nn.Module) -> Tensor:
    """`linear(compute(*inputs))`, which keeps the inputs for the backward pass, but not the result of `compute`.

    Args:
        compute: elementwise function, deterministic.
        inputs: of equal shape (..., F).
        linear: (..., F) -> (..., D); a layer of another class than a plain one is called without this saving.
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


def dropped_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, share: float) -> Tensor:
    """`dropout(softmax(q k' + bias)) v`, which keeps one number for each score.

    Samples are computed a few at a time, so that results between two products stay in the processor's cache and take no
    memory.  A weight is never negative, so its sign can record whether it was dropped.

    Args:
        q: (B, H, T, C) scaled queries, on a CPU.
        k: (B, H, S, C).
        v: (B, H, S, C).
        bias: added to the scores, which it broadcasts to; without a gradient.
        share: probability of dropping a weight.
    """
    out: Tensor = _DroppedAttention.apply(q, k, v, bias, share)  # type: ignore[no-untyped-call]
    return out


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, share: float) -> Tensor:
        batch, heads, time, _ = q.shape
        signed = v.new_empty(batch, heads, time, k.shape[2])
        out = v.new_empty(batch, time, heads, v.shape[3]).transpose(1, 2)  # the heads of a token lie side by side
        ctx.scale = 1 / (1 - share)
        for few in _samples(signed):
            scores = q[few] @ k[few].transpose(-1, -2)
            if bias is not None:
                scores = scores + (bias[few] if len(bias) > 1 else bias)
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype)
            signed[few] = torch.where(draw_kept(weights, share), weights, -weights)
            out[few] = signed[few].clamp(min=0.0) @ (v[few] * ctx.scale)
        ctx.save_for_backward(q, k, v, signed)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, signed = ctx.saved_tensors
        of_q, of_k, of_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for few in _samples(signed):
            scaled, weights = gradient[few] * ctx.scale, signed[few]
            of_v[few] = weights.clamp(min=0.0).transpose(-1, -2) @ scaled
            # Where a weight was dropped the gradient is 0, as with ReLU's derivative.
            back = torch.ops.aten.threshold_backward(scaled @ v[few].transpose(-1, -2), weights, 0.0)
            back = torch.ops.aten._softmax_backward_data(back.float(), weights.abs().float(), -1, torch.float32)
            back = back.to(q.dtype)
            of_q[few] = back @ k[few]
            of_k[few] = back.transpose(-1, -2) @ q[few]
        return of_q, of_k, of_v, None, None


def _samples(scores: Tensor) -> list[slice]:
    """(B, ...) cut into slices of samples whose scores fit a processor's cache."""
    few = max(1, _CACHED_BYTES // max(1, scores[0].nbytes))
    return [slice(first, first + few) for first in range(0, len(scores), few)]
