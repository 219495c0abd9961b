"""A teacher's logits of a batch as a loss of the student's: summed over the targets the labels have.

The shapes are those of `lavra.tasks.learning.losses`.  Each is T^2 KL(teacher || student) of the distribution that
the task reads off its logits: over classes, over tags of each labelled token, over the tokens an answer may begin or
end at, over choices, or of a yes and a no for each of several labels.  Numbers have no distribution: their squared
difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from lavra.base.tasks import Problem
from lavra.data.batch import IGNORE
from lavra.data.rows.batch import TaskBatch
from lavra.model.divergence import binary_kl_of_logits, kl_of_logits
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import head_of

SoftLoss = Callable[[Tensor, Tensor, TaskBatch, float], Tensor]
"""(student's logits, teacher's, batch, temperature) -> the summed loss."""


def soft_loss(spec: TaskSpec, problem: Problem | None) -> SoftLoss:
    """The loss of a task, and of the kind of labels it has.

    Raises:
        ConfigError: the task has no head of its own.
    """
    found: SoftLoss = head_of(spec).soft_loss_of(problem)
    return found


def soft_class_loss(student: Tensor, teacher: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
    """(B, N) logits of classes."""
    return temperature**2 * kl_of_logits(student, teacher, temperature)


def soft_labels_loss(student: Tensor, teacher: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
    """(B, N), or (B, 1) relevance: every logit is a yes or no of its own."""
    return temperature**2 * binary_kl_of_logits(student, teacher, temperature)


def soft_number_loss(student: Tensor, teacher: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
    """(B, 1): temperature means nothing here."""
    return functional.mse_loss(student.float(), teacher.float(), reduction="sum")


def soft_tag_loss(student: Tensor, teacher: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
    """(B, T, N), of the tokens that have a label."""
    labelled = batch.labels != IGNORE
    return temperature**2 * kl_of_logits(student[labelled], teacher[labelled], temperature)


def soft_span_loss(student: Tensor, teacher: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
    """(B, T, 2): the beginning and the end of an answer."""
    padding = ~batch.attention_mask[:, :, None]
    ours, theirs = (one.float().masked_fill(padding, -math.inf).transpose(1, 2) for one in (student, teacher))
    return temperature**2 * kl_of_logits(ours, theirs, temperature)


def soft_choice_loss(student: Tensor, teacher: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
    """(B, 1), `group` choices to a sample."""
    ours, theirs = student.view(-1, batch.group), teacher.view(-1, batch.group)
    return temperature**2 * kl_of_logits(ours, theirs, temperature)
