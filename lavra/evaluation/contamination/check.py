"""Compare a task's score over the items that stand in the training text with its score over the other items."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.evaluation.contamination.index import NgramIndex
from lavra.evaluation.contamination.overlap import SHARE, OverlapVerdict, check_texts, texts_of
from lavra.evaluation.items import ItemScore
from lavra.evaluation.results import Contamination
from lavra.evaluation.summary import metric_result
from lavra.evaluation.task_files.task import EvalTask
from lavra.evaluation.task_result import rules_of


class ContaminationChecker:
    """A comparison of a task's items with corpora; `evaluate` takes it as `contamination`.

    Args:
        indexes: indexes of the corpora that the model was trained on.
        threshold: smallest share of an item's words with which it counts as overlapping.
    """

    def __init__(self, indexes: Sequence[NgramIndex], *, threshold: float = SHARE) -> None:
        self._indexes = indexes
        self._threshold = threshold

    def __call__(self, task: EvalTask, scores: Sequence[ItemScore]) -> Contamination:
        """Look the items of a task up in the corpora.

        Args:
            task: the open task.
            scores: scores of its items.
        """
        overlaps = check_texts(self._indexes, [_looked_up(task, one) for one in scores])
        verdicts = [one.verdict(self._threshold) for one in overlaps]
        return Contamination(
            num_checked=sum(one is not OverlapVerdict.TOO_SHORT for one in verdicts),
            num_overlapping=verdicts.count(OverlapVerdict.OVERLAPPING),
            num_too_short=verdicts.count(OverlapVerdict.TOO_SHORT),
            with_overlap=_value(task, _taken(scores, verdicts, OverlapVerdict.OVERLAPPING)),
            without_overlap=_value(task, _taken(scores, verdicts, OverlapVerdict.NO_OVERLAP)),
        )


def _looked_up(task: EvalTask, score: ItemScore) -> list[str]:
    """The text that the task's file names for this (`doc_to_decontamination_query`), or else all texts of the row."""
    if task.file.doc_to_decontamination_query is not None:
        return [task.decontamination_query(score.item.doc_id)]
    return list(texts_of(score.item.document))


def _taken(scores: Sequence[ItemScore], verdicts: Sequence[OverlapVerdict], wanted: OverlapVerdict) -> list[ItemScore]:
    return [score for score, verdict in zip(scores, verdicts, strict=True) if verdict is wanted]


def _value(task: EvalTask, scores: Sequence[ItemScore]) -> float | None:
    """The value of the task's first metric over some of its items."""
    rules = rules_of(task, scores)
    return metric_result(rules[0], scores, resamples=1).value if rules and scores else None
