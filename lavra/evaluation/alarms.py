"""Signs that a score means nothing, each as one sentence.

A model that answers at random still gets a score, and so does a broken prompt.  This module counts the signs of both:
all choices equally likely, the same answer to every item, empty answers, a filter that finds nothing, a score that
guessing reaches too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lavra.evaluation.items import ItemScore, OutputType
from lavra.evaluation.results import MetricResult

FEWEST: Final = 5
"""Fewest items of a task for which an alarm is raised when all answers are the same."""
_SHOWN = 40  # characters of an answer that an alarm quotes

ACCURACIES: Final = frozenset(("acc", "acc_norm", "acc_bytes", "acc_mutual_info"))


def chance_of(metric: str, scores: Sequence[ItemScore]) -> float | None:
    """The average score of guessing among an item's choices; `None` where that is not known.

    Args:
        metric: name of the metric.
        scores: the item scores of a task.
    """
    chosen = [one.item for one in scores if one.response.unscored is None]
    if metric == "mcc":
        return 0.0 if chosen else None
    if metric not in ACCURACIES or not chosen or any(item.kind is not OutputType.MULTIPLE_CHOICE for item in chosen):
        return None
    golds = [len(set(item.gold)) if isinstance(item.gold, tuple) else 1 for item in chosen]
    shares = [right / max(len(item.choices), 1) for item, right in zip(chosen, golds, strict=True)]
    return sum(shares) / len(shares)


def alarms_of(scores: Sequence[ItemScore], metrics: Sequence[MetricResult]) -> tuple[str, ...]:
    """The alarms of a task, one sentence each.

    Args:
        scores: the item scores of a task.
        metrics: the task's scores; the first score is compared with guessing.
    """
    answered = [one for one in scores if one.response.unscored is None]
    if not answered:
        return ("no item has a score",) if scores else ()
    found = [_tied(answered), _constant(answered), _empty(answered), *_unextracted(answered), chance_alarm(metrics)]
    return tuple(one for one in found if one)


def _tied(scores: Sequence[ItemScore]) -> str:
    tied = sum(one.tied for one in scores)
    return f"all choices are equally likely in each of the {tied} items" if tied == len(scores) else ""


def _constant(scores: Sequence[ItemScore]) -> str:
    if len(scores) < FEWEST:
        return ""
    choices = {one.chosen for one in scores}
    golds = {one.item.gold for one in scores}
    if len(choices) == 1 and None not in choices and len(golds) > 1 and not all(one.tied for one in scores):
        return f"choice {choices.pop()} is the answer to all {len(scores)} items"
    texts = {text for one in scores for text in one.response.texts}
    if len(texts) == 1 and next(iter(texts)).strip() and len(golds) > 1:
        return f"the answer to all {len(scores)} items is {_short(texts.pop())!r}"
    return ""


def _empty(scores: Sequence[ItemScore]) -> str:
    texts = [text for one in scores for text in one.response.texts]
    return f"all {len(texts)} answers are empty" if texts and not any(text.strip() for text in texts) else ""


def _unextracted(scores: Sequence[ItemScore]) -> list[str]:
    counts = extraction_failures(scores)
    return [
        f"the filter {name} finds no answer in any of the {count} texts"
        for name, count in counts.items()
        if count == len(scores)
    ]


def extraction_failures(scores: Sequence[ItemScore]) -> dict[str, int]:
    """The number of items in whose answers a filter pipeline found nothing, by name of the pipeline.

    Args:
        scores: the item scores of a task.
    """
    counts: dict[str, int] = {}
    for one in scores:
        for name in one.extraction_failed:
            counts[name] = counts.get(name, 0) + 1
    return counts


def chance_alarm(metrics: Sequence[MetricResult]) -> str:
    """A sentence if a task's first score is below guessing or its interval holds guessing; otherwise an empty text.

    Args:
        metrics: the task's scores.
    """
    first = metrics[0] if metrics else None
    if first is None or first.chance is None or first.interval is None or first.value is None:
        return ""
    shown = f"{first.name} {first.value:.3f} {first.interval}"
    if first.interval.low <= first.chance <= first.interval.high:
        return f"{shown} does not measurably differ from guessing, which scores {first.chance:.3f}"
    if first.interval.high < first.chance:
        return f"{shown} is below guessing, which scores {first.chance:.3f}: look at the prompt and the right answers"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
