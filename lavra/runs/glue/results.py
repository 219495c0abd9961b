"""A finetuned task as a `TaskResult`: official scores with intervals, the wrong rows, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import NormalDist

from lavra.base.files import hash_json
from lavra.base.tasks import Problem
from lavra.evaluation.failures import MOST_FAILURES
from lavra.evaluation.results import Cost, Failure, MetricResult, TaskResult
from lavra.runs.glue.job import RECIPE_VERSION, GlueJob, GlueLearnt
from lavra.runs.glue.rows import GlueRow
from lavra.runs.glue.scores import Countable, defined
from lavra.runs.glue.tasks import GlueTask


def result_without_score(task: GlueTask, why: str) -> TaskResult:
    """A task that could not be learnt, with the reason."""
    return TaskResult(
        task=task.name,
        alias=task.name,
        version=RECIPE_VERSION,
        num_shots=0,
        metrics=(),
        num_items=0,
        num_available=0,
        verified=False,
        warnings=(why,),
    )


def result_of(
    job: GlueJob, learnt: GlueLearnt, data_hash: str, *, num_available: int, notes: Sequence[str]
) -> TaskResult:
    """A task that was learnt.

    Args:
        job: the task, with the rows that were predicted.
        learnt: the predictions.
        data_hash: hash of the task's files.
        num_available: questions of the whole development sets.
        notes: notes for readers of the score, one sentence each.
    """
    metrics = []
    for name, rows in job.dev.items():
        counted = job.task.count(rows, learnt.said[name])
        metrics += _metrics(counted, f" ({name})" if name else "", learnt.majority)
    failures, num_failures = _failures(job, learnt)
    num_items = sum(len({row.group for row in rows}) for rows in job.dev.values())
    return TaskResult(
        task=job.task.name,
        alias=job.task.name,
        version=RECIPE_VERSION,
        num_shots=0,
        metrics=tuple(metrics),
        num_items=num_items,
        num_available=num_available,
        alarms=_alarms(job, learnt),
        truncated_prompts=learnt.num_cut,
        task_hash=hash_json([RECIPE_VERSION, job.task.name, asdict(job.recipe)]),
        data_hash=data_hash,
        prompt=_text(next(iter(job.dev.values()))[0]),
        cost=Cost(
            seconds=learnt.seconds, prompt_tokens=learnt.num_tokens, from_ledger=num_items if learnt.reused else 0
        ),
        failures=failures,
        num_failures=num_failures,
        warnings=tuple(notes),
    )


def _metrics(counted: Countable, suffix: str, majority: float | None) -> list[MetricResult]:
    """The official scores of one development set; the guess is the most frequent training label."""
    chances = {"accuracy": majority, "matthews": 0.0, "pearson": 0.0, "spearman": 0.0}
    values, intervals = counted.values(), counted.intervals()
    found = []
    for name, value in values.items():
        interval = intervals[name] if defined(value) is not None and defined(intervals[name].low) is not None else None
        error = None if interval is None else (interval.high - interval.low) / (2 * NormalDist().inv_cdf(0.975))
        found.append(
            MetricResult(
                name=f"{name}{suffix}",
                filter="none",
                value=defined(value),
                interval=interval,
                standard_error=error,
                higher_is_better=True,
                num_items=counted.num_units,
                chance=chances.get(name),
            )
        )
    return found


def _alarms(job: GlueJob, learnt: GlueLearnt) -> tuple[str, ...]:
    said = [one.label for rows in learnt.said.values() for one in rows]
    if len(said) > 1 and len(set(said)) == 1:
        return (f"One constant answer: {said[0]!r} for all {len(said):,} rows.",)
    return ()


def _failures(job: GlueJob, learnt: GlueLearnt) -> tuple[tuple[Failure, ...], int]:
    """Rows with a wrong label, and their number; none where labels are numbers."""
    if job.task.problem is Problem.REGRESSION:
        return (), 0
    wrong = [
        (row, one)
        for name, rows in job.dev.items()
        for row, one in zip(rows, learnt.said[name], strict=True)
        if row.label != one.label
    ]
    kept = [
        Failure(
            doc_id=row.group,
            prompt=_text(row),
            choices=row.choices,
            expected=_named(row, row.label),
            answer=_named(row, one.label),
        )
        for row, one in wrong[:MOST_FAILURES]
    ]
    return tuple(kept), len(wrong)


def _named(row: GlueRow, label: str | float | int) -> str:
    return row.choices[label] if row.choices and isinstance(label, int) else str(label)


def _text(row: GlueRow) -> str:
    return row.text if row.pair is None else f"{row.text}\n{row.pair}"
