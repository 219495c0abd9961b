"""Cross-entropy over a large vocabulary without ever holding all the logits.

The head's product, the softmax and the head's two gradients are computed chunk by chunk while a chunk's logits
are still in cache, and only the gradients are kept: memory is one chunk of logits instead of (N, V), and on a CPU
the chunk's matrix products run at full speed where the whole one is bound by memory.  The same idea as Cut
Cross-Entropy (Wijmans et al. 2024) and Liger's fused linear cross-entropy, in plain PyTorch.

Deliberately absent: label smoothing and z-loss; nothing here trains with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORE = -100

# 4 Mi logits are 8 MiB in bf16: they stay in a shared level-3 cache, and are still enough rows for the matrix
# units (measured in docs/log.md).  A GPU keeps none of them in a cache and wants more rows: of 16,384 tokens over
# 50,304 words an H100 takes 81 ms by 4 Mi logits, 15 ms by 64 Mi, and 10 ms by 256 Mi with three times the memory.
_CHUNK_LOGITS = 4 * 1024 * 1024
_CHUNK_LOGITS_ON_A_GPU = 64 * 1024 * 1024

SoftmaxGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def softmax_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Summed negative log-likelihood of `labels` (n,) and its gradient by `logits` (n, V), in float32 inside.

    One expression for `torch.compile`, which fuses it into two passes over the logits.
    """
    scores = logits.float()
    log_norm = scores.logsumexp(-1, keepdim=True)  # (n, 1)
    vocabulary = torch.arange(logits.shape[1], device=logits.device)
    gradient = (scores - log_norm).exp() - (vocabulary == labels[:, None]).float()  # (n, V)
    loss = (log_norm - scores.gather(1, labels[:, None])).sum()
    return loss, gradient.to(logits.dtype)


_kernel: SoftmaxGradient = softmax_gradient


def compile_loss(vocab_size: int, dtype: torch.dtype, device: torch.device) -> None:
    """Compile the softmax kernel for this process, at once (training does, where there is a compiler).

    The kernel is compiled for any number of rows, but Inductor's first input decides how it splits the work, and so the
    order of sums.  Hence always the same first shape, a full chunk: a resumed run gets the same kernel even when its
    first batch has another number of targets.

    Raises:
        RuntimeError: the compiler does not work.
    """
    global _kernel
    compiled: SoftmaxGradient = torch.compile(softmax_gradient, dynamic=True)
    rows = chunk_rows(vocab_size, device)
    logits = torch.zeros(rows, vocab_size, dtype=dtype, device=device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):  # as in `_ChunkedCrossEntropy.forward`
        compiled(logits, torch.zeros(rows, dtype=torch.int64, device=device))
    _kernel = compiled


def use_eager_loss() -> None:
    """Switch back to the kernel that needs no compiler."""
    global _kernel
    _kernel = softmax_gradient


def chunk_rows(vocab_size: int, device: torch.device) -> int:
    """Number of rows of logits computed at a time."""
    return max(64, (_CHUNK_LOGITS if device.type == "cpu" else _CHUNK_LOGITS_ON_A_GPU) // vocab_size)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradients are ready when forward ends; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, dtype: torch.dtype
    ) -> Tensor:
        head = weight.to(dtype)  # (V, D)
        rows = hidden.to(dtype)  # (N, D)
        offset = None if bias is None else bias.to(dtype)
        d_hidden = torch.empty_like(rows)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        size = chunk_rows(weight.shape[0], hidden.device)
        for start in range(0, rows.shape[0], size):
            chunk = rows[start : start + size]
            logits = chunk @ head.t() if offset is None else torch.addmm(offset, chunk, head.t())
            loss, d_logits = _kernel(logits, labels[start : start + size])
            total += loss
            torch.mm(d_logits, head, out=d_hidden[start : start + size])
            d_weight += d_logits.t() @ chunk
            if d_bias is not None:
                d_bias += d_logits.sum(0, dtype=torch.float32)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.dtypes = hidden.dtype, weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        hidden_dtype, weight_dtype = ctx.dtypes
        return (
            (d_hidden * grad).to(hidden_dtype),
            (d_weight * grad).to(weight_dtype),
            None if d_bias is None else (d_bias * grad).to(weight_dtype),
            None,
            None,
        )


def chunked_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None) -> Tensor:
    """Summed negative log-likelihood in nats of `labels` under softmax(hidden @ weight.T + bias).

    Args:
        hidden: (N, D), after the final norm.
        weight: (V, D), the head.
        labels: (N,) int64; rows labelled -100 have no loss and take no time.
        bias: (V,), if the head has a bias.

    Returns:
        A float32 scalar; divide by the number of labels for the mean.
    """
    wanted = labels != IGNORE
    if not bool(wanted.all()):
        hidden, labels = hidden[wanted], labels[wanted]
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden, weight, bias)):
            return _ChunkedCrossEntropy.apply(hidden, weight, bias, labels, dtype)  # type: ignore[no-any-return, no-untyped-call]
        return -label_logprobs(
            hidden.to(dtype), weight.to(dtype), labels, None if bias is None else bias.to(dtype)
        ).sum()


def label_logprobs(hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None) -> Tensor:
    """Log-probability (N,) float32 of each label under softmax(hidden @ weight.T + bias), chunk by chunk.

    Args:
        hidden: (N, D), after the final norm.
        weight: (V, D), the head.
        labels: (N,) int64, without -100.
        bias: (V,), if the head has a bias.
    """
    size = chunk_rows(weight.shape[0], hidden.device)
    pieces = [
        _label_logprobs(hidden[start : start + size], weight, labels[start : start + size], bias)
        for start in range(0, hidden.shape[0], size)
    ]
    return torch.cat(pieces) if pieces else hidden.new_zeros(0, dtype=torch.float32)


def _label_logprobs(hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None) -> Tensor:
    scores = torch.nn.functional.linear(hidden, weight, bias).float()  # (n, V)
    return scores.gather(1, labels[:, None])[:, 0] - scores.logsumexp(-1)
