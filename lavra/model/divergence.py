"""The divergence of a student's distribution from its teacher's, as a loss that never holds all logits.

    KL(p || q) = sum p (log p - log q),   p = softmax(teacher / T),   q = softmax(student / T)

A temperature T over 1 shows the teacher's ranking of unlikely tokens; T^2 keeps the gradient's size, for it shrinks as
1 / T^2 (Hinton et al. 2015, arXiv:1503.02531, section 2).  A language model's loss is summed chunk by chunk of rows,
as `lavra.model.loss` does it: neither model's (N, V) logits ever exist.

A teacher that was written to disk is known by its k likeliest tokens and by the sum of all others, as one bucket:
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
    """The divergence if every logit is a separate yes or no (sigmoid)."""
    zeros = torch.zeros_like(student)
    return kl_of_logits(torch.stack((student, zeros), -1), torch.stack((teacher, zeros), -1), temperature)


def _weighed(log_p: Tensor, what: Tensor) -> Tensor:
    """The product of numbers and p; 0 where p is 0, even for an infinite number."""
    return torch.where(log_p == -math.inf, 0.0, log_p.exp() * what)


class TeacherDistributions(Protocol):
    """A teacher's distributions in N rows."""

    def divergence(self, rows: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """Summed KL(teacher || softmax(z)) of some rows, and its gradient by z (n, V); z is divided by T already."""
        ...


@dataclass(frozen=True, kw_only=True)
class LiveTeacher:
    """A teacher in this process, as its hidden states and its head.

    Attributes:
        hidden: (N, D), ready for the matrix.
        weight: (V, D).
        bias: (V,), if the head has a bias.
        temperature: its logits are divided by this.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    temperature: float

    def divergence(self, rows: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `TeacherDistributions`."""
        hidden, weight = self.hidden[rows], self.weight.to(self.hidden.dtype)
        bias = None if self.bias is None else self.bias.to(self.hidden.dtype)
        logits = functional.linear(hidden, weight, bias).float()
        p = functional.log_softmax(logits / self.temperature, dim=-1)  # (n, V)
        q = functional.log_softmax(z, dim=-1)
        return _weighed(p, p - q).sum(), q.exp() - p.exp()


@dataclass(frozen=True, kw_only=True)
class TopTeacher:
    """The saved part of a teacher's distributions, at the temperature at which it was saved.

    Attributes:
        ids: (N, k) int64, likeliest first.
        logprobs: (N, k) natural logarithms of their probabilities.
        log_rest: (N,) logarithm of the sum of all others; minus infinity if k is V.
    """

    ids: Tensor
    logprobs: Tensor
    log_rest: Tensor

    def divergence(self, rows: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `TeacherDistributions`; the divergence of k + 1 outcomes.

        The gradient for a kept token's logit is q - p, and for another token's q - p_rest q / q_rest.
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
    """The weights of the two losses.

    Attributes:
        temperature: T.
        share: weight of the loss against the teacher's distribution; the rest is the weight of the labels' loss.
    """

    temperature: float
    share: float

    def of(
        self, rows_of_teacher: TeacherDistributions, rows: slice, logits: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Summed loss of some rows and its gradient by their logits (n, V)."""
        scores = logits.float()
        soft, d_soft = rows_of_teacher.divergence(rows, scores / self.temperature)
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
        rows_of_teacher: TeacherDistributions,
    ) -> Tensor:
        head, rows = weight.to(dtype), hidden.to(dtype)
        offset = None if bias is None else bias.to(dtype)
        d_hidden, d_weight = torch.empty_like(rows), torch.zeros_like(weight, dtype=torch.float32)
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for part in _parts(rows, weight):
            logits = functional.linear(rows[part], head, offset)
            loss, d_logits = mixture.of(rows_of_teacher, part, logits, labels[part])
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
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    rows_of_teacher: TeacherDistributions,
    mixture: Mixture,
    bias: Tensor | None = None,
) -> Tensor:
    """Summed (1 - share) cross-entropy + share T^2 KL(teacher || student), in nats.

    Args:
        hidden: (N, D) hidden states of the student, the input of its head.
        weight: (V, D), the student's head.
        labels: (N,) int64, without -100.
        rows_of_teacher: the teacher's distributions in the same N rows, at the mixture's temperature.
        mixture: the weights of the two losses.
        bias: (V,), if the head has a bias.

    Returns:
        A float32 scalar.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden, weight, bias)):
            return _ChunkedMixture.apply(hidden, weight, bias, labels, dtype, mixture, rows_of_teacher)  # type: ignore[no-any-return, no-untyped-call]
        rows, head, offset = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for part in _parts(rows, weight):
            total += mixture.of(rows_of_teacher, part, functional.linear(rows[part], head, offset), labels[part])[0]
        return total
