"""The result of a task, from its file and the scores of its items, and the results of the groups above it.

A `TaskResult` holds the scores that a table shows, the doubts about them, and the facts that they came from.
`lavra.evaluation.summary` has the arithmetic.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

from lavra.base.files import hash_json
from lavra.evaluation.alarms import alarms_of, extraction_failures
from lavra.evaluation.calibration import calibration_of
from lavra.evaluation.compare import ComparedMetric
from lavra.evaluation.failures import failures_of
from lavra.evaluation.items import ItemScore
from lavra.evaluation.program_notes import program_notes
from lavra.evaluation.results import Cost, GroupResult, TaskResult
from lavra.evaluation.scoring import aggregation, is_higher_better
from lavra.evaluation.summary import GroupMember, MetricRule, group_result, metric_result, values_of
from lavra.evaluation.task_files.opening import TaskGroup
from lavra.evaluation.task_files.task import EvalTask
from lavra.metrics.intervals import RESAMPLES


def rules_of(task: EvalTask, scores: Sequence[ItemScore]) -> list[MetricRule]:
    """The rules that combine the values of a task's items into its scores; a table shows the first.

    Args:
        task: the open task.
        scores: scores of its items.
    """
    keys = dict.fromkeys(key for one in scores for key in one.values)
    if not keys:
        keys = dict.fromkeys((pipeline.name, metric.name) for pipeline in task.pipelines for metric in task.metrics)
    return [_rule(task, name, metric) for name, metric in keys if metric not in _NO_SCORES]


def _rule(task: EvalTask, filter_name: str, metric: str) -> MetricRule:
    compute = aggregation(task, metric)
    return MetricRule(
        name=metric,
        filter=filter_name,
        higher_is_better=is_higher_better(task, metric),
        aggregate=None if is_mean(task, metric) else compute,
        resamples=_TEXT_RESAMPLES if metric in _OF_TEXTS else None,
    )


def is_mean(task: EvalTask, metric: str) -> bool:
    """Whether the task's score for a metric is the mean of the items' values."""
    named = {setting.name: setting.aggregation for setting in task.metrics}
    return named.get(metric, "mean") == "mean"


_NO_SCORES: Final = frozenset(("bypass", "likelihood"))  # metrics with values of items and without a score of the task
_OF_TEXTS: Final = frozenset(("bleu", "chrf", "chrf++", "ter"))
_TEXT_RESAMPLES: Final = 100  # as lm-evaluation-harness': each one scores the whole corpus


def compared_metrics(task: EvalTask, scores: Sequence[ItemScore]) -> list[ComparedMetric]:
    """The metric that compares two models on a task: the first metric of a table; empty if the task has no score.

    Args:
        task: the open task.
        scores: scores of its items, from either model.
    """
    return [
        ComparedMetric(
            task=task.name,
            name=rule.name,
            filter=rule.filter,
            higher_is_better=rule.higher_is_better,
            aggregate=rule.aggregate,
        )
        for rule in rules_of(task, scores)[:1]
    ]


def compared_groups(groups: Sequence[TaskGroup], metrics: Sequence[ComparedMetric]) -> list[ComparedMetric]:
    """The metrics that compare two models on groups: the metrics that a group combines, if they are means.

    Args:
        groups: the groups to compare on.
        metrics: metrics of their tasks, from `compared_metrics`.
    """
    return [
        ComparedMetric(
            task=group.name,
            name=rule.name,
            filter=filter_name,
            higher_is_better=found[0].higher_is_better,
            members=tuple(one.task for one in found),
            equal_weights=not rule.weight_by_size,
        )
        for group in groups
        for rule in group.metrics
        for filter_name in sorted({one.filter for one in metrics if one.task in group.tasks})
        if rule.filters is None or filter_name in rule.filters
        if (found := [one for one in metrics if _counts(one, group, rule.name, filter_name)])
    ]


def _counts(metric: ComparedMetric, group: TaskGroup, name: str, filter_name: str) -> bool:
    named = (metric.name, metric.filter) == (name, filter_name)
    return named and metric.task in group.tasks and metric.aggregate is None


def group_member(task: EvalTask, found: TaskResult, scores: Sequence[ItemScore]) -> GroupMember:
    """Make the member that stands for a task in the groups above it.

    Args:
        task: the open task.
        found: result of the task.
        scores: scores of its items.
    """
    means = [rule for rule in rules_of(task, scores) if rule.aggregate is None]
    return GroupMember(
        name=task.name,
        metrics=found.metrics,
        values={(rule.filter, rule.name): values_of(rule, scores) for rule in means},
        num_items=max((one.num_items for one in found.metrics), default=0),
    )


def grouped(group: TaskGroup, members: Mapping[str, GroupMember], resamples: int) -> GroupResult:
    """Compute the scores of a group.

    Args:
        group: the group, from its file.
        members: all tasks below it, by name.
        resamples: draws of each bootstrap interval.
    """
    below = [members[name] for name in group.tasks]
    found = group_result(group.name, group.alias, group.members, group.metrics, below, resamples=resamples)
    return replace(found, version=group.version, num_items=sum(one.num_items for one in below))


def config_of(task: EvalTask) -> dict[str, Any]:
    """The content of a task's file as plain data; functions are replaced by their names.

    Args:
        task: the open task.
    """
    kept = {one.name: getattr(task.file, one.name) for one in fields(task.file) if one.name not in _RENAMED}
    metrics = [
        {"metric": one.name, "aggregation": one.aggregation, "higher_is_better": one.higher_is_better, **one.options}
        for one in task.file.metrics
    ]
    filters = [
        {"name": one.name, "filter": [{"function": step.function, **step.options} for step in one.steps]}
        for one in task.file.filters
    ]
    renamed = {"metric_list": metrics, "filter_list": filters, "fewshot_config": task.file.shots}
    named = {**kept, **renamed, "num_fewshot": task.num_shots}
    return {name: _plain(value) for name, value in named.items() if value is not None}


_RENAMED: Final = frozenset(("path", "hash", "warnings", "metrics", "filters", "shots"))


def _plain(value: Any) -> Any:
    if callable(value):
        return f"!function {getattr(value, '__name__', value)}"
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def summarize(task: EvalTask, scores: Sequence[ItemScore], *, resamples: int = RESAMPLES) -> TaskResult:
    """Make the result of a task from the scores of its items.

    Args:
        task: the open task.
        scores: scores of its items, in order.
        resamples: draws of each bootstrap interval.
    """
    metrics = tuple(metric_result(rule, scores, resamples=resamples) for rule in rules_of(task, scores))
    unscored = Counter(one.response.unscored.value for one in scores if one.response.unscored is not None)
    failures, num_failures = failures_of(scores)
    return TaskResult(
        task=task.name,
        alias=task.alias,
        version=task.version,
        num_shots=task.num_shots,
        metrics=metrics,
        num_items=len(scores),
        num_available=task.num_documents,
        unscored=dict(unscored),
        alarms=alarms_of(scores, metrics),
        extraction_failed=extraction_failures(scores),
        truncated_prompts=sum(one.response.truncated_tokens > 0 for one in scores),
        task_hash=task.task_hash,
        data_hash=task.data_hash,
        prompt_hash=hash_json([one.item.prompt_hash for one in scores]),
        prompt=_prompt_shown(scores),
        verified=bool(task.file.metadata.get("verified", True)),
        cost=Cost(
            prompt_tokens=sum(one.response.prompt_tokens for one in scores),
            completion_tokens=sum(one.response.completion_tokens for one in scores),
        ),
        calibration=calibration_of(scores),
        failures=failures,
        num_failures=num_failures,
        config=config_of(task),
        warnings=(*task.warnings, *_missing_numbers(metrics), *_warnings_of_model(scores), *program_notes(scores)),
    )


def _prompt_shown(scores: Sequence[ItemScore]) -> str:
    """Return a rendered prompt; where continuations are scored, with the first continuation."""
    if not scores:
        return ""
    item = scores[0].item
    return item.prompt or "".join((item.pairs[0].context, item.pairs[0].continuation) if item.pairs else ())


def _missing_numbers(metrics: Iterable[Any]) -> list[str]:
    return [
        f"{one.name} ({one.filter}) is not a number on these {one.num_items} items"
        for one in metrics
        if one.value is None and one.num_items
    ]


def _warnings_of_model(scores: Sequence[ItemScore]) -> list[str]:
    """The warnings of the model's side, the most frequent first; sentences that differ only in numbers are merged."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for warning in (warning for one in scores for warning in one.response.warnings):
        shape = re.sub(r"\d[\d,]*", "#", warning)
        counts[shape] += 1
        first.setdefault(shape, warning)
    return [
        first[shape] + (f" ({count} items, the numbers are the first one's)" if count > 1 else " (1 item)")
        for shape, count in counts.most_common()
    ]
