"""Combine the scores of items into scores of tasks and groups, each with its standard error and interval.

The arithmetic is lm-evaluation-harness': its aggregations, its standard error of a mean (n - 1 in the denominator), its
bootstrap standard error of any other score, and for groups the pooled standard error of tasks weighted by size.  Each
score also has a bootstrap interval (`lavra.metrics.intervals`).  Where all items have the same value, 0 or 1, the exact
interval is used: a bootstrap of equal values has no width, and would claim a certainty that the items do not give.

A score that is not a number (no item scored, a correlation of equal values, an infinite perplexity) is `None`, and a
warning says so; it never becomes NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.evaluation.alarms import chance_of
from lavra.evaluation.items import ItemScore
from lavra.evaluation.results import GroupResult, MetricResult
from lavra.evaluation.task_files.task_file import GroupMetric
from lavra.metrics.intervals import LEVEL, RESAMPLES, Interval, mean_interval, score_intervals, share_interval

Aggregate = Callable[[Sequence[Any]], float | None]

_MOST_VALUES: Final = (
    2_000_000  # most values that a bootstrap draws for a score that is not a mean; it lowers resamples
)
_FEWEST_RESAMPLES: Final = 100
_BLOCK: Final = 1_000_000  # values drawn at once


@dataclass(frozen=True, kw_only=True)
class MetricRule:
    """The rule that combines the values of items into the score of a task.

    Attributes:
        name: name of the metric.
        filter: name of the filter pipeline.
        higher_is_better: whether a higher value is better.
        aggregate: the score of several values; `None` is their mean.
        resamples: draws of its bootstrap; `None` is the usual number.
    """

    name: str
    filter: str = "none"
    higher_is_better: bool = True
    aggregate: Aggregate | None = None
    resamples: int | None = None


def values_of(rule: MetricRule, scores: Sequence[ItemScore]) -> list[Any]:
    """The values of a metric, in the order of the items; those of unscored items are left out."""
    key = (rule.filter, rule.name)
    return [one.values[key] for one in scores if key in one.values]


def metric_result(
    rule: MetricRule, scores: Sequence[ItemScore], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> MetricResult:
    """Compute one score of a task.

    Args:
        rule: the metric and its aggregation.
        scores: scores of the task's items.
        resamples: draws of the bootstrap.
        level: confidence level of its interval.
        seed: fixes the draws.
    """
    values = values_of(rule, scores)
    if not values:
        value, error, interval = None, None, None
    elif rule.aggregate is None:
        value, error, interval = _mean(np.array(values, dtype=np.float64), resamples, level, seed)
    else:
        draws = rule.resamples or min(resamples, max(_FEWEST_RESAMPLES, _MOST_VALUES // len(values)))
        value, error, interval = _of_all_together(values, rule.aggregate, draws, level, seed)
    return MetricResult(
        name=rule.name,
        filter=rule.filter,
        value=value,
        interval=interval,
        standard_error=error,
        higher_is_better=rule.higher_is_better,
        num_items=len(values),
        chance=chance_of(rule.name, scores) if rule.aggregate is not None or set(values) <= {0, 1} else None,
    )


def _mean(
    values: Float64s, resamples: int, level: float, seed: int
) -> tuple[float | None, float | None, Interval | None]:
    value = _finite(float(values.mean()))
    if value is None:
        return None, None, None
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    if value in (0.0, 1.0) and (values == value).all():
        return value, error, share_interval(int(value * len(values)), len(values), level=level)
    return value, error, mean_interval(values, resamples=resamples, level=level, seed=seed)


def _of_all_together(
    values: Sequence[Any], aggregate: Aggregate, resamples: int, level: float, seed: int
) -> tuple[float | None, float | None, Interval | None]:
    drawn: list[float] = []

    def score(taken: Int64s) -> dict[str, float]:
        found = aggregate([values[index] for index in taken])
        drawn.append(math.nan if found is None else found)
        return {"value": drawn[-1]}

    found = aggregate(values)
    value = None if found is None else _finite(float(found))
    if value is None or len(values) < 2:
        return value, None, None
    interval = score_intervals(score, len(values), resamples=resamples, level=level, seed=seed)["value"]
    known = np.array([one for one in drawn if math.isfinite(one)])
    error = float(known.std(ddof=1)) if len(known) > 1 else None
    return value, error, interval if _finite(interval.low) is not None and _finite(interval.high) is not None else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# ---------------------------------------------------------------- groups


@dataclass(frozen=True, kw_only=True)
class GroupMember:
    """A task of a group: its scores, and the item values behind them.

    Attributes:
        name: name of the task.
        metrics: scores of the task.
        values: values of items by `(filter, metric)`, for metrics that are means.
        num_items: number of its items, as its weight in the group.
    """

    name: str
    metrics: Sequence[MetricResult]
    values: Mapping[tuple[str, str], Sequence[float]]
    num_items: int


def group_result(
    name: str,
    alias: str,
    members: Sequence[str],
    rules: Sequence[GroupMetric],
    tasks: Sequence[GroupMember],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> GroupResult:
    """Compute the scores of a group.

    Args:
        name: name of the group.
        alias: displayed name.
        members: names of its tasks and groups.
        rules: the metrics that it combines, and their weights.
        tasks: all tasks below it, including the tasks of its groups.
        resamples: draws of the bootstrap.
        level: confidence level of its interval.
        seed: fixes the draws.
    """
    metrics = [
        _group_metric(rule, found, tasks, resamples, level, seed) for rule in rules for found in _filters(rule, tasks)
    ]
    return GroupResult(
        group=name, alias=alias, members=tuple(members), metrics=tuple(one for one in metrics if one is not None)
    )


def _filters(rule: GroupMetric, tasks: Sequence[GroupMember]) -> list[str]:
    if rule.filters is not None:
        return list(rule.filters)
    return sorted({one.filter for task in tasks for one in task.metrics if one.name == rule.name})


def _group_metric(
    rule: GroupMetric, filter_name: str, tasks: Sequence[GroupMember], resamples: int, level: float, seed: int
) -> MetricResult | None:
    found = [
        (task, one)
        for task in tasks
        for one in task.metrics
        if (one.filter, one.name) == (filter_name, rule.name) and one.value is not None
    ]
    if not found:
        return None
    sizes = [task.num_items for task, _ in found]
    weights = np.array(sizes if rule.weight_by_size else [1] * len(sizes), dtype=np.float64)
    weights /= weights.sum()
    scores = np.array([one.value for _, one in found], dtype=np.float64)
    value = float(weights @ scores)
    errors = [one.standard_error for _, one in found if one.standard_error is not None]
    error = _group_error(errors, sizes, rule.weight_by_size) if len(errors) == len(found) else None
    chances = [one.chance for _, one in found if one.chance is not None]
    columns = [task.values.get((filter_name, rule.name)) for task, _ in found]
    return MetricResult(
        name=rule.name,
        filter=filter_name,
        value=value,
        interval=_group_interval(columns, weights, value, error, resamples, level, seed),
        standard_error=error,
        higher_is_better=found[0][1].higher_is_better,
        num_items=sum(one.num_items for _, one in found),
        chance=float(weights @ np.array(chances)) if len(chances) == len(found) else None,
    )


def _group_error(errors: Sequence[float], sizes: Sequence[int], weight_by_size: bool) -> float | None:
    """lm-evaluation-harness' `pooled_sample_stderr`, or without weights its `unweighted_mean_stderr`."""
    if not weight_by_size:
        return math.sqrt(sum(error**2 for error in errors)) / len(errors)
    free = sum(sizes) - len(sizes)
    if free <= 0:
        return None
    variance = sum((size - 1) * error**2 * size for size, error in zip(sizes, errors, strict=True)) / free
    return math.sqrt(variance / sum(sizes))


def _group_interval(
    columns: Sequence[Sequence[float] | None],
    weights: Float64s,
    value: float,
    error: float | None,
    resamples: int,
    level: float,
    seed: int,
) -> Interval | None:
    """The interval by drawing items again within each task; from the standard error if a task's score is not a mean."""
    known = [np.array(column, dtype=np.float64) for column in columns if column is not None]
    if len(known) < len(columns):
        return None if error is None else Interval(low=value - 1.96 * error, high=value + 1.96 * error)
    draw = np.random.Generator(np.random.Philox(seed))
    means = [_resampled_means(values, draw, resamples) for values in known]  # T of (R,)
    low, high = np.quantile(weights @ np.stack(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)


def _resampled_means(values: Float64s, draw: np.random.Generator, resamples: int) -> Float64s:
    """(R,) means of values drawn with replacement."""
    number = len(values)
    rows = max(1, _BLOCK // number)
    parts: list[Float64s] = []
    for first in range(0, resamples, rows):
        taken = draw.integers(0, number, size=(min(rows, resamples - first), number))
        parts.append(values[taken].mean(axis=1))
    return np.concatenate(parts)
