"""Packed rows cost what their documents cost alone, token by token.

Every token's loss is compared, whether it carries a label or not, so that one token of a neighbour that is seen shows
wherever it has an effect; and the loss of the labels, as the run sums it.  float32 adds up in another order in another
row; where that alone could explain a difference (deep models whose scores are large), float64 decides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.base.checks import DEFECT, Check
from lavra.data.batch import IGNORE, PADDING_SEGMENT, Batch
from lavra.train.objective import Objective
from lavra.train.untouched import without_dropout

# Nats a token.  Sums in another order move a token's loss by 1e-6 in fresh models of 2 to 6 layers and by 2e-5 in a
# trained one; one token of a neighbour that is seen moves some token's by 5e-3 and more, in fresh models of any family.
TOKEN_TOLERANCE: Final = 1e-4
_LOSS_TOLERANCE: Final = 2e-5  # relative, of a summed loss
_MOST_BATCHES: Final = 64  # looked at to find a row of several documents
_CHUNK: Final = 256  # tokens whose scores over the vocabulary are held at once


def packing_check(model: nn.Module, objective: Objective, batch: Batch) -> Check:
    """Every token's loss in packed and padded rows, beside its loss where its document has a row to itself.

    Not tested where no row of the batch holds two documents.
    """
    documents = [replace(one, positions=_counted(one)) for one in unpacked(batch)]
    several = len(documents) > len(batch.input_ids)
    found = _compared(model, objective, batch, documents)
    if found.unlike:
        found = _more_exactly(model, objective, batch, documents) or found
    rows = (
        f"{len(documents)} documents in {len(batch.input_ids)} rows"
        if several
        else "no row holds two documents; of padded ones"
    )
    remedy = f"padding or neighbours change what a document costs; {DEFECT}" if found.unlike else _misplaced(batch)
    return Check(
        name="packed = unpacked",
        passed=several and not remedy,
        tested=several or bool(remedy),
        detail=f"{rows}: {found}",
        remedy=remedy,
    )


def _compared(model: nn.Module, objective: Objective, batch: Batch, documents: Sequence[Batch]) -> _Compared:
    device = next(model.parameters()).device
    with without_dropout(model), torch.no_grad():
        packed, alone = (
            [(token_nats(model, objective, one), _learnt(model, objective, one)) for one in batches]
            for batches in ([batch.to(device)], [one.to(device) for one in documents])
        )
    return _Compared.of(packed, alone)


def _more_exactly(model: nn.Module, objective: Objective, batch: Batch, documents: Sequence[Batch]) -> _Compared | None:
    """Compare in float64, on a copy; None where a part of the model has another type for good (a quantized base)."""
    try:
        return _compared(copy.deepcopy(model).double(), objective, batch, documents)
    except RuntimeError:  # operands of two types
        return None


@dataclass(frozen=True)
class _Compared:
    """The cost of documents in packed rows, and of each alone.

    Attributes:
        num_tokens: scored in packed rows, and alone.
        worst: the largest difference of a token's loss, nats.
        learnt: summed loss of the positions that carry a label, packed and alone.
    """

    num_tokens: tuple[int, int]
    worst: float
    learnt: tuple[float, float]

    @classmethod
    def of(cls, packed: Sequence[tuple[Tensor, float]], alone: Sequence[tuple[Tensor, float]]) -> _Compared:
        nats, other = (torch.cat([tokens for tokens, _ in way]) for way in (packed, alone))
        worst = float((nats - other).abs().max()) if len(nats) == len(other) else math.inf
        learnt = sum(cost for _, cost in packed), sum(cost for _, cost in alone)
        return cls((len(nats), len(other)), worst, learnt)

    @property
    def unlike(self) -> bool:
        """Whether they differ by more than sums in another order."""
        costs = math.isclose(*self.learnt, rel_tol=_LOSS_TOLERANCE, abs_tol=_LOSS_TOLERANCE)
        return not (costs and self.worst <= TOKEN_TOLERANCE)

    def __str__(self) -> str:
        if self.num_tokens[0] != self.num_tokens[1]:
            return f"{self.num_tokens[0]:,} tokens are scored in packed rows and {self.num_tokens[1]:,} alone"
        return (
            f"{self.num_tokens[0]:,} tokens differ by {self.worst:.1e} nats at most from a row of their own "
            f"({TOKEN_TOLERANCE:g} is allowed); the labels cost {self.learnt[0]:.5f}, and {self.learnt[1]:.5f} alone"
        )


def token_nats(model: nn.Module, objective: Objective, batch: Batch) -> Tensor:
    """(N,) float32 loss of every token of a batch, row by row, from the states that the objective's loss uses.

    A decoder and an encoder are scored on the very tokens they read (which a masked-token run would hide), an
    encoder-decoder on its labels: every state is looked at, whether a label stands there or not.
    """
    heard = _Listener(model)
    labels = _labels(batch, len(heard.head_weight))
    objective.loss(heard, replace(batch, labels=labels))
    states, wanted = torch.cat(heard.states), labels[labels != IGNORE]
    scored = min(len(states), len(wanted))  # a loss that leaves some out has scored fewer
    parts = [slice(first, min(first + _CHUNK, scored)) for first in range(0, scored, _CHUNK)]
    return torch.cat(
        [
            functional.cross_entropy(
                functional.linear(states[part], heard.head_weight, heard.head_bias).float(),
                wanted[part],
                reduction="none",
            )
            for part in parts
        ]
    )


class _Listener:
    """A model for losses that keeps the states it is given to score.

    Args:
        model: a model with a language-model head.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.states: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def head_hidden(self, hidden: Tensor) -> Tensor:
        """(N, D) as the model has it."""
        found: Tensor = self.model.head_hidden(hidden)
        self.states.append(found)
        return found


def _labels(batch: Batch, vocabulary: int) -> Tensor:
    """(B, T) each real token itself, virtual ones left out; (B, U) an encoder-decoder's own labels."""
    if batch.decoder_segments is not None:
        return batch.labels
    real = (batch.segments != PADDING_SEGMENT) & (batch.input_ids < vocabulary)
    return batch.input_ids.masked_fill(~real, IGNORE)


def _learnt(model: nn.Module, objective: Objective, batch: Batch) -> float:
    """Summed loss of the positions that carry a label."""
    return float(objective.loss(model, batch)) if batch.num_targets else 0.0


def _misplaced(batch: Batch) -> str:
    """The fault of a document that does not count its positions from 0; empty where all do."""
    for number, document in enumerate(unpacked(batch), start=1):
        if not torch.equal(document.positions, _counted(document)):
            begins = int(document.positions[0, 0])
            return f"document {number} begins at position {begins}, and every document must count from 0; {DEFECT}"
    return ""


def _counted(document: Batch) -> Tensor:
    """(1, T) positions from 0 on."""
    return torch.arange(document.input_ids.shape[1], device=document.input_ids.device)[None]


def unpacked(batch: Batch) -> Iterator[Batch]:
    """Each document of a batch in a batch of its own, without padding."""
    for row in range(len(batch.sample_ids)):
        one = batch.rows(row, row + 1)
        for segment in sorted({*one.segments.flatten().tolist()} - {PADDING_SEGMENT}):
            yield _document(one, segment)


def _document(row: Batch, segment: int) -> Batch:
    """The columns of one document."""
    here = (row.segments == segment)[0]

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:, here]

    first = torch.ones_like(cut(row.segments))
    if row.decoder_segments is None:
        return replace(
            row,
            input_ids=cut(row.input_ids),
            labels=cut(row.labels),
            positions=cut(row.positions),
            segments=first,
        )
    assert row.decoder_input_ids is not None
    there = (row.decoder_segments == segment)[0]
    return replace(
        row,
        input_ids=cut(row.input_ids),
        positions=cut(row.positions),
        segments=first,
        labels=row.labels[:, there],
        decoder_input_ids=row.decoder_input_ids[:, there],
        decoder_segments=torch.ones_like(row.decoder_segments[:, there]),
    )


def most_documents(objective: Objective) -> Batch:
    """The batch, of the first ones, whose rows hold the most documents."""
    maker = objective.batches
    batches = [maker.batch(index) for index in range(min(_MOST_BATCHES, len(maker)))]
    return max(batches, key=lambda batch: int(batch.segments.max()))
