"""Dropout (Srivastava et al. 2014) with sixteen random bits a number instead of a random float.

On a CPU PyTorch draws a Bernoulli variable for each number, which takes longer than a small model's attention; a
64-bit draw serves four numbers here, three times as fast (docs/log.md).  The share that is dropped is exact to
1/65,536.  The draws come from torch's global generator, so that seeding it fixes them.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_LEVELS: Final = 1 << 16
_LEAST, _A_DRAW = -(1 << 63), 4


def dropout(x: Tensor, share: float, training: bool = True) -> Tensor:
    """Numbers set to 0 with a probability, the others scaled so that the mean stays; x itself outside of training.

    Args:
        x: of any shape.
        share: probability of dropping, in [0, 1).
        training: whether to drop at all.
    """
    if not share or not training:
        return x
    if not draws_here(x):
        return functional.dropout(x, share)
    out: Tensor = _Drop.apply(x, share)  # type: ignore[no-untyped-call]
    return out


def draws_here(x: Tensor) -> bool:
    """Whether this module draws for this tensor: a GPU draws fast, and a compiler fuses its own draws."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def draw_kept(x: Tensor, share: float) -> Tensor:
    """The mask of the kept numbers of a tensor on a CPU: bool, of its shape."""
    draws = torch.empty(-(-x.numel() // _A_DRAW), dtype=torch.int64).random_(_LEAST, None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    return bits >= round(share * _LEVELS) - _LEVELS // 2


class _Drop(torch.autograd.Function):
    """Keeps one byte a number for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        keep = draw_kept(x, share)
        ctx.save_for_backward(keep)
        ctx.scale = 1 / (1 - share)
        return (x * keep).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (gradient * keep).mul_(ctx.scale), None
