"""The number of possible answers, and the summed loss of a uniform guess (of the number 0, for a regression)."""

from __future__ import annotations

import math

from lavra.base.tasks import Problem
from lavra.data.rows.batch import TaskBatch
from lavra.model.task_config import TaskConfig


def num_labels(batch: TaskBatch, head: TaskConfig) -> int:
    """The head's labels; a yes and a no where it has one output."""
    return max(2, len(head.labels))


def num_tokens(batch: TaskBatch, head: TaskConfig) -> int:
    """The places of a row."""
    return batch.input_ids.shape[1]


def num_choices(batch: TaskBatch, head: TaskConfig) -> int:
    """The endings of a sample."""
    return batch.group


def guess_label(batch: TaskBatch, head: TaskConfig) -> float:
    """Classes, tags, several labels a text, or numbers."""
    if head.problem is Problem.REGRESSION:
        return float((batch.labels.double() ** 2).sum())
    return batch.num_targets * math.log(2 if head.problem is Problem.MULTI_LABEL else len(head.labels))


def guess_relevance(batch: TaskBatch, head: TaskConfig) -> float:
    """Relevant or not, a yes or a no."""
    return batch.num_targets * math.log(2)


def guess_span(batch: TaskBatch, head: TaskConfig) -> float:
    """A first and a last token of each row."""
    return 2 * float(batch.attention_mask.sum(dim=1).double().log().sum())


def guess_choice(batch: TaskBatch, head: TaskConfig) -> float:
    """The summed loss of guessing one of a sample's endings."""
    return batch.num_targets * math.log(batch.group)
