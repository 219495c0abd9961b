"""The distance between two models' inner values: the states after their blocks, and the attention of their heads.

Attention maps are compared head by head (MiniLM, arXiv:2002.10957), which needs as many heads in both.  Relations of
queries, keys and values among themselves are cut anew into R heads (MiniLMv2, arXiv:2012.15828) and do not need equal
shapes:

    maps        softmax(scale q k')           (B, H, T, S)
    relations   softmax(x x' / sqrt(size))    (B, R, T, T), x = q, k and v
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from lavra.distillation.watch import AttentionInputs
from lavra.model.divergence import kl_of_logits


def map_divergence(student: AttentionInputs, teacher: AttentionInputs, real: Tensor) -> Tensor:
    """Mean KL(teacher || student) of the weights over heads and real queries, in nats.

    Args:
        student: attention of the student, H heads.
        teacher: attention of the teacher, as many heads.
        real: (B, T) True on real tokens.
    """
    return _mean_kl(attention_scores(student), attention_scores(teacher), real)


def relation_divergence(student: AttentionInputs, teacher: AttentionInputs, real: Tensor, num_heads: int) -> Tensor:
    """Mean over queries, keys and values of the mean KL(teacher || student) of their relations, in nats."""
    parts = [
        _mean_kl(_relations(ours, student, num_heads), _relations(theirs, teacher, num_heads), real)
        for ours, theirs in ((student.q, teacher.q), (student.k, teacher.k), (student.v, teacher.v))
    ]
    return torch.stack(parts).mean()


def attention_scores(seen: AttentionInputs) -> Tensor:
    """The scores (B, H, T, S) float32 before the softmax; minus infinity where attention is forbidden."""
    keys = seen.k.repeat_interleave(seen.q.shape[2] // seen.k.shape[2], dim=2)
    scores = torch.einsum("bthc,bshc->bhts", seen.q.float() * seen.scale, keys.float())
    if seen.mask.bias is not None:
        scores = scores + seen.mask.bias.float()
    return _forbid(scores, seen)


def _relations(x: Tensor, seen: AttentionInputs, num_heads: int) -> Tensor:
    """(B, T, K, C) -> (B, R, T, T) scores among themselves, without the part that positions add."""
    batch, time = x.shape[:2]
    cut = x.float().reshape(batch, time, num_heads, -1)
    return _forbid(torch.einsum("bthc,bshc->bhts", cut / math.sqrt(cut.shape[-1]), cut), seen)


def _forbid(scores: Tensor, seen: AttentionInputs) -> Tensor:
    allowed = None
    if seen.mask.bias is not None:
        bias = seen.mask.bias
        allowed = (bias > torch.finfo(bias.dtype).min / 2).any(dim=1, keepdim=True)  # the same for all heads
    elif seen.mask.causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    return scores if allowed is None else scores.masked_fill(~allowed, -math.inf)


def _mean_kl(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """From (B, H, T, S) scores of both: their mean KL over real queries, a scalar."""
    ours, theirs = student.transpose(1, 2)[real], teacher.transpose(1, 2)[real]  # (N, H, S)
    return kl_of_logits(ours, theirs) / (ours.shape[0] * ours.shape[1])


def state_distance(student: Tensor, teacher: Tensor, real: Tensor, distance: str) -> Tensor:
    """Mean distance of (B, T, D) states of real tokens: squared difference a channel, or one minus the cosine."""
    ours, theirs = student[real].float(), teacher[real].float()  # (N, D)
    if distance == "mse":
        return functional.mse_loss(ours, theirs)
    return (1.0 - functional.cosine_similarity(ours, theirs, dim=-1)).mean()
