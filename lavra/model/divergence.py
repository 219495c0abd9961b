"""How far a student's distribution is from its teacher's, and how to learn from it without holding all logits.

    KL(p || q) = sum p (log p - log q),   p = softmax(teacher / T),   q = softmax(student / T)

A temperature T over 1 shows how a teacher ranks what it thinks wrong; T^2 keeps the gradient's size, for it shrinks as
1 / T^2 (Hinton et al. 2015, arXiv:1503.02531, section 2).  A language model's loss is summed chunk by chunk of rows,
as `lavra.model.loss` does it: neither model's (N, V) logits ever exist.

A teacher that was written to disk is known by its k likeliest tokens and by what all others have together, one bucket:
the divergence of those k + 1 numbers is a lower bound of the whole one, and equal to it at k = V.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lavra.model.loss import chunk_rows


def kl_of_logits(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Summed KL(teacher || student) in nats of (..., N) logits, float32; without the factor T^2."""
    q = functional.log_softmax(student.float() / temperature, dim=-1)
    p = functional.log_softmax(teacher.float() / temperature, dim=-1)
    return _weighed(p, p - q).sum()


def binary_kl_of_logits(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The same where every logit is a yes or no of its own (sigmoid)."""
    zeros = torch.zeros_like(student)
    return kl_of_logits(torch.stack((student, zeros), -1), torch.stack((teacher, zeros), -1), temperature)


def _weighed(log_p: Tensor, what: Tensor) -> Tensor:
    """Something times p, and 0 where p is 0, whatever the something is."""
    return torch.where(log_p == -math.inf, 0.0, log_p.exp() * what)


class Said(Protocol):
    """What a teacher says of N rows."""

    def divergence(self, rows: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """Summed KL(teacher || softmax(z)) of some rows, and its gradient by z (n, V); z is divided by T already."""
        ...


@dataclass(frozen=True, kw_only=True)
class LiveTeacher:
    """A teacher in this process, as its hidden states and its head.

    Attributes:
        hidden: (N, D), ready for the matrix.
        weight: (V, D).
        bias: (V,), where the head has one.
        temperature: its logits are divided by this.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    temperature: float

    def divergence(self, rows: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """As `Said` has it."""
        hidden, weight = self.hidden[rows], self.weight.to(self.hidden.dtype)
        bias = None if self.bias is None else self.bias.to(self.hidden.dtype)
        logits = functional.linear(hidden, weight, bias).float()
        p = functional.log_softmax(logits / self.temperature, dim=-1)  # (n, V)
        q = functional.log_softmax(z, dim=-1)
        return _weighed(p, p - q).sum(), q.exp() - p.exp()


@dataclass(frozen=True, kw_only=True)
class TopTeacher:
    """What was kept of a teacher's distributions, at the temperature they were kept for.

    Attributes:
        ids: (N, k) int64, likeliest first.
        logprobs: (N, k) their natural logarithms.
        log_rest: (N,) that of all others together; minus infinity where there is none.
    """

    ids: Tensor
    logprobs: Tensor
    log_rest: Tensor

    def divergence(self, rows: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """As `Said` has it, of k + 1 outcomes.

        The gradient by a token's logit is q - p, and by one of the others' q - p_rest q / q_rest.
        """
        ids, p, p_rest = self.ids[rows], self.logprobs[rows].float(), self.log_rest[rows].float()
        q = functional.log_softmax(z, dim=-1)  # (n, V)
        q_top = q.gather(1, ids)
        q_rest = q.scatter(1, ids, -math.inf).logsumexp(-1)  # (n,)
        loss = _weighed(p, p - q_top).sum() + _weighed(p_rest, p_rest - q_rest).sum()
        excess = torch.where(p_rest == -math.inf, 0.0, (p_rest - q_rest).exp())[:, None]  # p_rest / q_rest
        gradient = q.exp() * (1.0 - excess)
        return loss, gradient.scatter(1, ids, q_top.exp() - p.exp())


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How much of each loss.

    Attributes:
        temperature: T.
        share: of the teacher's distribution; the rest is the labels'.
    """

    temperature: float
    share: float

    def of(self, said: Said, rows: slice, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss of some rows and its gradient by their logits (n, V)."""
        scores = logits.float()
        soft, d_soft = said.divergence(rows, scores / self.temperature)
        loss, gradient = self.share * self.temperature**2 * soft, (self.share * self.temperature) * d_soft
        if self.share < 1.0:
            log_q = functional.log_softmax(scores, dim=-1)
            hard = 1.0 - self.share
            loss = loss - hard * log_q.gather(1, labels[:, None]).sum()
            gradient = gradient + hard * log_q.exp()
            gradient.scatter_add_(1, labels[:, None], torch.full_like(labels[:, None], -hard, dtype=gradient.dtype))
        return loss, gradient.to(logits.dtype)


class _ChunkedMixture(torch.autograd.Function):
    """The gradients are ready when forward ends; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        dtype: torch.dtype,
        mixture: Mixture,
        said: Said,
    ) -> Tensor:
        head, rows = weight.to(dtype), hidden.to(dtype)
        offset = None if bias is None else bias.to(dtype)
        d_hidden, d_weight = torch.empty_like(rows), torch.zeros_like(weight, dtype=torch.float32)
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for part in _parts(rows, weight):
            logits = functional.linear(rows[part], head, offset)
            loss, d_logits = mixture.of(said, part, logits, labels[part])
            total += loss
            d_hidden[part] = d_logits @ head
            d_weight += d_logits.t() @ rows[part]
            if d_bias is not None:
                d_bias += d_logits.sum(0, dtype=torch.float32)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.dtypes = hidden.dtype, weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        hidden_dtype, weight_dtype = ctx.dtypes
        d_offset = None if d_bias is None else (d_bias * grad).to(weight_dtype)
        return (d_hidden * grad).to(hidden_dtype), (d_weight * grad).to(weight_dtype), d_offset, None, None, None, None


def _parts(rows: Tensor, weight: Tensor) -> list[slice]:
    size = chunk_rows(weight.shape[0], rows.device)
    return [slice(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]


def chunked_mixture(
    hidden: Tensor, weight: Tensor, labels: Tensor, said: Said, mixture: Mixture, bias: Tensor | None = None
) -> Tensor:
    """Summed (1 - share) cross-entropy + share T^2 KL(teacher || student), in nats.

    Args:
        hidden: (N, D) of the student, ready for its head.
        weight: (V, D), the student's head.
        labels: (N,) int64, none of them -100.
        said: what the teacher says of the same N rows, at the mixture's temperature.
        mixture: how much of each.
        bias: (V,), where the head has one.

    Returns:
        A float32 scalar.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden, weight, bias)):
            return _ChunkedMixture.apply(hidden, weight, bias, labels, dtype, mixture, said)  # type: ignore[no-any-return, no-untyped-call]
        rows, head, offset = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for part in _parts(rows, weight):
            total += mixture.of(said, part, functional.linear(rows[part], head, offset), labels[part])[0]
        return total
