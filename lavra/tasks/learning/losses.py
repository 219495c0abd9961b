"""The loss of each task with a head: summed over a batch's targets, so that accumulation is exact.

They are those of `transformers`' classes, there as means: cross-entropy of classes, tags and choices, the mean of start
and end for spans, binary cross-entropy of several labels, squared error of numbers.  A reranker learns relevance by
binary cross-entropy, as sentence-transformers' CrossEncoder does (Nogueira & Cho 2019, arXiv:1901.04085).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor
from torch.nn import functional

from lavra.base.errors import ConfigError
from lavra.base.tasks import Problem, Task
from lavra.data.batch import IGNORE
from lavra.data.rows.batch import TaskBatch
from lavra.model.heads import TaskModel

HeadLoss = Callable[[Tensor, TaskBatch], Tensor]
"""(logits, batch) -> the summed loss."""


def task_loss(model: TaskModel, batch: TaskBatch) -> Tensor:
    """Summed loss of a batch, float32 scalar; divided by `batch.num_targets` it is the mean."""
    mask = batch.attention_mask
    logits = model(
        batch.input_ids, attention_mask=None if bool(mask.all()) else mask, token_type_ids=batch.token_type_ids
    )
    return head_loss(model.task.task, model.task.problem)(logits.float(), batch)


def head_loss(task: Task, problem: Problem | None) -> HeadLoss:
    """The loss of a task, and of the kind of labels it has.

    Raises:
        ConfigError: the task has no head of its own.
    """
    if task is Task.CLASSIFY:
        return _OF_LABELS[problem or Problem.SINGLE_LABEL]
    if task not in _OF_TASK:
        known = ", ".join(one.value for one in (Task.CLASSIFY, *_OF_TASK))
        raise ConfigError(f"task {task.value!r} has no loss of a head; those that have: {known}")
    return _OF_TASK[task]


def class_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, N) and (B,) classes."""
    return functional.cross_entropy(logits, batch.labels, reduction="sum")


def several_labels_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, N) and (B, N) of 0 and 1; each label is a target of its own."""
    return functional.binary_cross_entropy_with_logits(logits, batch.labels.float(), reduction="sum")


def number_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, 1) and (B,) numbers: squared error."""
    return functional.mse_loss(logits[:, 0], batch.labels.float(), reduction="sum")


def tag_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, T, N) and (B, T) tags."""
    return functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE, reduction="sum")


def span_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, T, 2) and (B, 2) first and last token: first and last are a target each."""
    logits = logits.masked_fill(~batch.attention_mask[:, :, None], float("-inf"))
    return functional.cross_entropy(logits.transpose(1, 2).flatten(0, 1), batch.labels.flatten(), reduction="sum")


def choice_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, 1) scores of choices, `group` to a sample, and (B / group,) right ones."""
    return functional.cross_entropy(logits.view(-1, batch.group), batch.labels, reduction="sum")


def relevance_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """(B, 1) and (B,) relevance from 0 to 1."""
    return functional.binary_cross_entropy_with_logits(logits[:, 0], batch.labels.float(), reduction="sum")


_OF_LABELS: Final[Mapping[Problem, HeadLoss]] = {
    Problem.SINGLE_LABEL: class_loss,
    Problem.MULTI_LABEL: several_labels_loss,
    Problem.REGRESSION: number_loss,
}
_OF_TASK: Final[Mapping[Task, HeadLoss]] = {
    Task.NER: tag_loss,
    Task.QA: span_loss,
    Task.CHOICE: choice_loss,
    Task.RERANK: relevance_loss,
}
