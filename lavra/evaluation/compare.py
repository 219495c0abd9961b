"""A comparison of two models on the same items: the better model, or that these items do not decide.

A paired test looks at the items on which the two models differ, and so detects smaller differences than two intervals
side by side.  A metric that is 0 or 1 on each item is tested by McNemar's exact test, the mean of any other metric by
flipping signs at random, a score of all items together (F1, BLEU) by swapping items at random (`lavra.metrics.paired`).
The p-values of all tasks are corrected together (Holm 1979): where two models are equal on every task, at most one
comparison in twenty names a better model.  Where no difference is found, the result states the number of items with
which a difference of the observed size would be found four times in five.

Items that either model left unscored are left out, and counted.  One metric of each task is tested: the metric that a
table shows.  A group's items are tested together, by the metric that the group combines.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s
from lavra.base.errors import InputError
from lavra.evaluation.items import ItemScore
from lavra.metrics.intervals import RESAMPLES, Interval, difference_interval, score_intervals
from lavra.metrics.paired import holm, mcnemar_exact, needed_discordant, needed_items, sign_flip_p, swap_p

ALPHA = 0.05
_SWAPS = 500  # draws of a test that computes the score of all items anew at each draw


class BetterModel(Enum):
    """The better of two models, if the items decide."""

    FIRST = "the first is better"
    SECOND = "the second is better"
    UNDECIDED = "cannot tell"


@dataclass(frozen=True, kw_only=True)
class ComparedMetric:
    """The metric that compares two models on a task.

    Attributes:
        task: name of the task.
        name: name of the metric.
        filter: name of the filter pipeline.
        higher_is_better: whether a higher value is better.
        aggregate: the score of the values of several items; `None` is their mean.
        members: tasks whose items are compared together, where `task` names a group; a group's score is a mean.
        equal_weights: whether each member counts alike, however many items it has.
    """

    task: str
    name: str
    filter: str = "none"
    higher_is_better: bool = True
    aggregate: Callable[[Sequence[Any]], float | None] | None = None
    members: tuple[str, ...] = ()
    equal_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskComparison:
    """The comparison of two models on one task.

    Attributes:
        task: name of the task.
        metric: name of the compared metric.
        filter: name of its filter pipeline.
        num_items: items that both models were scored on.
        num_dropped: items that at least one of the models was not scored on.
        first: score of the first model on the items of both.
        second: score of the second model on the same items.
        difference: second score minus first score.
        interval: bootstrap interval of the difference.
        test: name of the test.
        p: two-sided p-value of the hypothesis that the models are equally good.
        p_corrected: the p-value, corrected for the number of comparisons.
        verdict: the better model, or that the test does not decide.
        needed: items with which a difference of this size would be found four times in five, where the verdict is open
            and a difference was seen.
    """

    task: str
    metric: str
    filter: str
    num_items: int
    num_dropped: int
    first: float | None
    second: float | None
    difference: float | None
    interval: Interval | None
    test: str
    p: float
    p_corrected: float
    verdict: BetterModel
    needed: int | None = None

    def sentence(self, first: str, second: str) -> str:
        """Say the verdict in words.

        Args:
            first: name of the first model.
            second: name of the second model.
        """
        if self.verdict is not BetterModel.UNDECIDED:
            return f"{first if self.verdict is BetterModel.FIRST else second} is better"
        if not self.num_items:
            return "cannot tell: no item is scored for both"
        verdict = f"cannot tell with {self.num_items:,} items"
        if self.difference == 0:
            return f"{verdict}: the scores are equal"
        if self.needed is None:
            return f"{verdict}: the number of items needed is unknown"
        return f"{verdict}; about {_rounded(self.needed):,} would be needed"


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """The comparison of two models on several tasks.

    Attributes:
        first: name of the first model.
        second: name of the second model.
        tasks: one comparison for each task.
        num_corrected: number of comparisons that the p-values were corrected for.
    """

    first: str
    second: str
    tasks: tuple[TaskComparison, ...]
    num_corrected: int


def compare_models(
    named: Mapping[str, Mapping[str, Sequence[ItemScore]]],
    metrics: Sequence[ComparedMetric],
    *,
    alpha: float = ALPHA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[ModelComparison]:
    """Compare the first model with each of the others, on every task.

    Args:
        named: item scores by name of the model, then by name of the task; the others are compared with the first model.
        metrics: the compared metrics, one for each task.
        alpha: highest probability, over all comparisons together, of naming a better model where models are equal.
        resamples: draws of the intervals.
        seed: fixes the draws.

    Raises:
        InputError: there are fewer than two models.
    """
    if len(named) < 2:
        raise InputError(f"{len(named)} models are given; a comparison needs at least 2")
    base, *others = named
    number = len(others) * len(metrics)
    found = [
        [_compared(metric, named[base], named[other], alpha / number, resamples, seed) for metric in metrics]
        for other in others
    ]
    corrected = iter(holm([one.p for row in found for one in row]))
    return [
        ModelComparison(
            first=base,
            second=other,
            tasks=tuple(
                _decided(one, metric, next(corrected), alpha) for one, metric in zip(row, metrics, strict=True)
            ),
            num_corrected=number,
        )
        for other, row in zip(others, found, strict=True)
    ]


def _decided(one: TaskComparison, metric: ComparedMetric, p_corrected: float, alpha: float) -> TaskComparison:
    if p_corrected >= alpha or not one.difference:
        return replace(one, p_corrected=p_corrected)
    second = (one.difference > 0) == metric.higher_is_better
    verdict = BetterModel.SECOND if second else BetterModel.FIRST
    return replace(one, p_corrected=p_corrected, verdict=verdict, needed=None)


def _compared(
    metric: ComparedMetric,
    first: Mapping[str, Sequence[ItemScore]],
    second: Mapping[str, Sequence[ItemScore]],
    alpha: float,
    resamples: int,
    seed: int,
) -> TaskComparison:
    """The comparison on one task before correction; `alpha` is the significance level that a test has at worst."""
    one, other = _values(metric, first), _values(metric, second)
    both = sorted(one.keys() & other.keys())
    empty = TaskComparison(
        task=metric.task,
        metric=metric.name,
        filter=metric.filter,
        num_items=len(both),
        num_dropped=len(_items(metric, first) | _items(metric, second)) - len(both),
        first=None,
        second=None,
        difference=None,
        interval=None,
        test="none",
        p=1.0,
        p_corrected=1.0,
        verdict=BetterModel.UNDECIDED,
    )
    if not both:
        return empty
    pairs = [(one[item], other[item]) for item in both]
    if metric.aggregate is not None:
        return _of_all_together(empty, pairs, metric.aggregate, alpha, seed)
    means = np.array(pairs, dtype=np.float64)  # (N, 2)
    if metric.equal_weights:
        means *= _equal_weights([task for task, _ in both])[:, None]
    return _of_means(empty, means, alpha, resamples, seed)


def _equal_weights(tasks: Sequence[str]) -> Float64s:
    """(N,) factors of items that make the mean of all items the mean of the tasks' means."""
    counts = Counter(tasks)
    return np.array([len(tasks) / (len(counts) * counts[task]) for task in tasks], dtype=np.float64)


def _values(metric: ComparedMetric, scores: Mapping[str, Sequence[ItemScore]]) -> dict[tuple[str, int], Any]:
    """Values by task and number of the item."""
    key = (metric.filter, metric.name)
    return {
        (task, one.item.doc_id): one.values[key]
        for task in metric.members or (metric.task,)
        for one in scores.get(task, ())
        if key in one.values
    }


def _items(metric: ComparedMetric, scores: Mapping[str, Sequence[ItemScore]]) -> set[tuple[str, int]]:
    return {(task, one.item.doc_id) for task in metric.members or (metric.task,) for one in scores.get(task, ())}


def _of_means(empty: TaskComparison, pairs: Float64s, alpha: float, resamples: int, seed: int) -> TaskComparison:
    """The comparison of two means; `pairs` is (N, 2)."""
    number = len(pairs)
    moved = pairs[:, 1] - pairs[:, 0]
    if np.isin(pairs, (0.0, 1.0)).all():
        ahead, behind = int((moved < 0).sum()), int((moved > 0).sum())
        test, p = "McNemar, exact", mcnemar_exact(ahead, behind)
        needed = needed_discordant(ahead, behind, number, alpha=alpha)
    else:
        test, p = "sign flips", sign_flip_p(moved, seed=seed)
        spread = float(moved.std(ddof=1)) / math.sqrt(number) if number > 1 else 0.0
        needed = needed_items(float(moved.mean()), spread, number, alpha=alpha) if spread else None
    first, second = pairs.mean(axis=0)
    return replace(
        empty,
        first=float(first),
        second=float(second),
        difference=float(second - first) if moved.any() else 0.0,
        interval=difference_interval(pairs[:, 1], pairs[:, 0], resamples=resamples, seed=seed),
        test=test,
        p=p,
        needed=needed if p >= alpha else None,
    )


def _of_all_together(
    empty: TaskComparison,
    pairs: Sequence[tuple[Any, Any]],
    aggregate: Callable[[Sequence[Any]], float | None],
    alpha: float,
    seed: int,
) -> TaskComparison:
    """The comparison of two scores that are not means."""

    def difference(swapped: npt.NDArray[np.bool_]) -> float:
        first = aggregate([pair[int(other)] for pair, other in zip(pairs, swapped, strict=True)])
        second = aggregate([pair[1 - int(other)] for pair, other in zip(pairs, swapped, strict=True)])
        return math.nan if first is None or second is None else second - first

    def resampled(taken: npt.NDArray[np.int64]) -> dict[str, float]:
        first, second = (aggregate([pairs[index][side] for index in taken]) for side in (0, 1))
        return {"difference": math.nan if first is None or second is None else second - first}

    first, second = (aggregate([pair[side] for pair in pairs]) for side in (0, 1))
    if first is None or second is None:
        return empty
    number = len(pairs)
    interval = score_intervals(resampled, number, resamples=_SWAPS, seed=seed)["difference"]
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    spread = (interval.high - interval.low) / (2 * 1.96) if known else 0.0
    p = swap_p(difference, number, draws=_SWAPS, seed=seed)
    needed = needed_items(second - first, spread, number, alpha=alpha) if spread else None
    return replace(
        empty,
        first=first,
        second=second,
        difference=second - first,
        interval=interval if known else None,
        test="swapped items",
        p=p,
        needed=needed if p >= alpha else None,
    )


def _rounded(number: int) -> int:
    """Round to two digits: the size of a difference is not known better than that."""
    digits = max(0, len(str(number)) - 2)
    unit = int(10**digits)
    return math.ceil(number / unit) * unit
