"""An objective: the maker of batches, and the loss of a batch.

Everything trained here is an `Objective`; a method that is not next-token, masked-token or span prediction differs
in its batch maker and its loss function, never in the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lavra.data.batch import Batch, BatchMaker
from lavra.data.rows.batch import TaskBatch, TaskBatchMaker
from lavra.model.loss import chunked_cross_entropy

Loss = Callable[[Any, Batch], Tensor]
"""(model, batch) -> summed loss in nats over the batch's targets, float32 scalar."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A maker of batches and the loss of a batch.

    Attributes:
        batches: makes micro-batch number i.
        loss: summed loss of one; the loop divides by the number of targets of the whole step.
    """

    batches: BatchMaker
    loss: Loss


TaskLoss = Callable[[Any, TaskBatch], Tensor]
"""(model, batch) -> summed loss over the batch's targets, float32 scalar."""


@dataclass(frozen=True, kw_only=True)
class TaskObjective:
    """A maker of labelled rows and their loss, for a model with a task's head.

    Attributes:
        batches: makes micro-batch number i.
        loss: summed loss of one; the loop divides by the number of targets of the whole step.
    """

    batches: TaskBatchMaker
    loss: TaskLoss


AnyBatch = Batch | TaskBatch
AnyObjective = Objective | TaskObjective


def token_loss(model: Any, batch: Batch) -> Tensor:
    """Summed cross-entropy of a decoder's next tokens or an encoder's masked ones."""
    hidden = model.hidden(batch.input_ids, positions=batch.positions, segments=batch.segments)
    return _cross_entropy(model, hidden, batch.labels)


def sequence_to_sequence_loss(model: Any, batch: Batch) -> Tensor:
    """Summed cross-entropy of an encoder-decoder's targets."""
    encoded = model.encode(batch.input_ids, segments=batch.segments)
    hidden = model.decode(
        batch.decoder_input_ids, encoded, segments=batch.segments, decoder_segments=batch.decoder_segments
    )
    return _cross_entropy(model, hidden, batch.labels)


def _cross_entropy(model: Any, hidden: Tensor, labels: Tensor) -> Tensor:
    rows, flat = hidden.flatten(0, 1), labels.flatten()
    wanted = flat != -100
    if not bool(wanted.all()):  # masked-token rows carry loss on 15 %: spare the head's transform the rest
        rows, flat = rows[wanted], flat[wanted]
    return chunked_cross_entropy(model.head_hidden(rows), model.head_weight, flat, model.head_bias)


class LossModule(nn.Module):
    """Model and loss as one module, so that DistributedDataParallel and FSDP see one forward."""

    def __init__(self, model: nn.Module, loss: Loss | TaskLoss) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, batch: Any) -> Tensor:
        """Summed loss of a batch of the kind the loss is for."""
        return self._loss(self.model, batch)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Mixed precision as the run asks for it: parameters and optimizer stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
