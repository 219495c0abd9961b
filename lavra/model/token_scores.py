"""Scores of given tokens from a model's logits: log-probability, whether it is the likeliest, the likeliest tokens.

Logits are computed in float32, a bounded number of rows at a time, so that the full (N,V) never exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

LOGITS_BYTES = 64 * 2**20  # float32 logits held at once
_CACHED_ROWS = 16  # number of rows kept, 3 MB with a vocabulary of 49,152


class HasLogits(Protocol):
    """A model with a language-model head."""

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """Scores of N tokens, on the CPU.

    Attributes:
        nll: (N,) float32 negative log-likelihoods, nats.
        greedy: (N,) bool, whether the token is the likeliest in its place (the first of equals).
        top_ids: (N, K) int64 the likeliest tokens in its place, best first, lower ids first among equals.
        top_logprobs: (N, K) float32 theirs, nats.
    """

    nll: Tensor
    greedy: Tensor
    top_ids: Tensor
    top_logprobs: Tensor

    def __len__(self) -> int:
        return len(self.nll)

    def part(self, rows: slice | Tensor) -> TokenScores:
        """The scores of the given rows."""
        return TokenScores(
            nll=self.nll[rows],
            greedy=self.greedy[rows],
            top_ids=self.top_ids[rows],
            top_logprobs=self.top_logprobs[rows],
        )

    def split(self, sizes: Sequence[int]) -> list[TokenScores]:
        """Neighbouring parts of these sizes."""
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        return [self.part(slice(end - size, end)) for end, size in zip(ends, sizes, strict=True)]

    def tops(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        """The likeliest tokens of each place with their log-probabilities; empty unless wanted."""
        if not self.top_ids.shape[1]:
            return ()
        rows = zip(self.top_ids.tolist(), self.top_logprobs.tolist(), strict=True)
        return tuple(tuple(zip(ids, logprobs, strict=True)) for ids, logprobs in rows)


def join_scores(parts: Sequence[TokenScores], top: int = 0) -> TokenScores:
    """Concatenate parts; `top` is the number of likeliest tokens of an empty result."""
    if not parts:
        none = torch.zeros(0)
        return TokenScores(
            nll=none, greedy=none.bool(), top_ids=torch.zeros((0, top)).long(), top_logprobs=torch.zeros((0, top))
        )
    return TokenScores(
        nll=torch.cat([part.nll for part in parts]),
        greedy=torch.cat([part.greedy for part in parts]),
        top_ids=torch.cat([part.top_ids for part in parts]),
        top_logprobs=torch.cat([part.top_logprobs for part in parts]),
    )


def score_hidden(
    model: HasLogits, hidden: Tensor, labels: Tensor, top: int = 0, *, places: Tensor | None = None
) -> TokenScores:
    """Score each label after its hidden state.

    Args:
        model: model whose head computes the logits.
        hidden: (M,D).
        labels: (N,) int64.
        top: K, number of likeliest tokens to return, at most the size of the vocabulary.
        places: (N,) int64, index of the hidden state before each label; by default M = N, in order.
    """
    places = torch.arange(len(labels)) if places is None else places
    order = places.argsort(stable=True)
    places, labels = places[order], labels[order]
    parts: list[TokenScores] = []
    start, rows = 0, 16
    while start < len(hidden):
        logits = model.logits(hidden[None, start : start + rows])[0].float()  # (rows,V)
        first, last = torch.searchsorted(places, torch.tensor([start, start + rows])).tolist()
        here = places[first:last] - start
        parts.append(_of_logits(logits, labels[first:last].to(logits.device), here.to(logits.device), top))
        start += rows
        rows = max(16, LOGITS_BYTES // (4 * logits.shape[-1]))  # V is known after the first few rows
    return join_scores(parts, top).part(order.argsort())


def _of_logits(logits: Tensor, labels: Tensor, places: Tensor, top: int) -> TokenScores:
    """The scores from (M,V) logits, which are overwritten, and (N,) labels with the rows they follow."""
    own = logits[places, labels]
    found = min(top, logits.shape[-1])
    values, ids = logits.topk(found, dim=-1)  # (M,K); an unordered choice among equals
    order = ids.argsort(dim=-1)
    values, ids = values.gather(-1, order), ids.gather(-1, order)
    order = values.argsort(dim=-1, descending=True, stable=True)
    norms, likeliest = _norms(logits)
    norms = norms[places]  # (N,)
    return TokenScores(
        nll=(norms - own).clamp(min=0.0).cpu(),
        greedy=(likeliest[places] == labels).cpu(),
        top_ids=ids.gather(-1, order)[places].cpu(),
        top_logprobs=(values.gather(-1, order)[places] - norms[:, None]).clamp(max=0.0).cpu(),
    )


def _norms(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) log of the sum of exponentials of (M,V) logits, and (M,) the likeliest token, the first of equals.

    A few rows at a time on a CPU, in place: they stay in its cache, which takes a third of `logsumexp` and `argmax`.
    """
    largest, likeliest = logits.max(-1)
    rows = _CACHED_ROWS if logits.device.type == "cpu" else max(1, len(logits))
    sums = [
        part.sub_(most[:, None]).exp_().sum(-1)
        for part, most in zip(torch.split(logits, rows), torch.split(largest, rows), strict=True)
    ]
    return largest + torch.cat(sums).log(), likeliest
