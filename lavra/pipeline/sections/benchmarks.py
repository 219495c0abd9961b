"""The section of an evaluation: scores with intervals, honesty of probabilities, cost, and failures to read.

It is rendered from an `EvaluationResult` alone, so `lavra up`, `lavra evaluate --report` and a result read from a file
look the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lavra.base.units import format_duration
from lavra.evaluation.abilities import abilities, in_words
from lavra.evaluation.results import EvaluationResult, Failure, GroupResult, MetricResult, TaskResult
from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.skipped import skipped_section
from lavra.pipeline.stages.benchmarks import BenchmarksResult
from lavra.report.section import (
    Details,
    Dot,
    DotChart,
    Fact,
    Facts,
    LineChart,
    Paragraph,
    SampleBlock,
    Section,
    SectionBlock,
    Series,
    Table,
    Tone,
)

_MOST_DOTS: Final = 70  # MMLU's subjects and its groups
_MOST_FAILURES: Final = 48  # failures shown in one report, shared among its tasks
_MOST_CURVES: Final = 5
_LEAST_CALIBRATED: Final = 50  # items; a curve of fewer shows noise
_LEAST_POINT: Final = 5  # answers behind each point of the plot
_MOST_PROMPT: Final = 1500  # characters of a prompt that are shown, its end


def benchmarks_section(result: EvaluationResult, title: str = "Benchmarks") -> Section:
    """All results of an evaluation.

    Args:
        result: result of the evaluation.
        title: the section's heading.
    """
    return Section(
        title=title,
        summary=in_words(abilities(result)),
        blocks=(
            Facts(items=_facts(result)),
            *_warnings(result),
            *_scores_chart(result),
            _scores_table(result),
            *_calibration(result.tasks),
            *_contamination(result.tasks),
            *_failures(result.tasks),
            *_asked(result.tasks),
            _cost(result),
        ),
        seconds=result.seconds,
    )


def up_benchmarks_section(result: BenchmarksResult | Skipped) -> Section:
    """The section of `lavra up`."""
    title = "What it can do"
    if isinstance(result, Skipped):
        return skipped_section(title, result)
    return benchmarks_section(result.evaluation, title)


def _facts(result: EvaluationResult) -> tuple[Fact, ...]:
    scored = sum(task.num_items - sum(task.unscored.values()) for task in result.tasks)
    unscored = sum(sum(task.unscored.values()) for task in result.tasks)
    tokens = sum(task.cost.prompt_tokens + task.cost.completion_tokens for task in result.tasks)
    facts = [
        Fact(label="Tasks", value=f"{len(result.tasks)}"),
        Fact(
            label="Items scored",
            value=f"{scored:,}",
            note=f"{unscored:,} unscored" if unscored else "",
            tone=Tone.WARNING if unscored else Tone.PLAIN,
        ),
        Fact(label="Time", value=format_duration(result.seconds)),
        Fact(label="Tokens", value=f"{tokens:,}"),
    ]
    if result.peak_memory is not None:
        facts.append(Fact(label="Peak memory", value=f"{result.peak_memory / 2**30:.2f}", unit="GiB"))
    return tuple(facts)


def _warnings(result: EvaluationResult) -> tuple[Paragraph, ...]:
    remarks = [*result.warnings]
    notes = []
    for task in result.tasks:
        remarks += [f"{task.alias}: {alarm}" for alarm in (*task.alarms, *task.warnings)]
        remarks += [f"{task.alias}: {count:,} items are unscored: {why}." for why, count in task.unscored.items()]
        if not task.verified:
            notes.append(task.alias)
    tail = (Paragraph(text=f"Not verified on real data: {', '.join(notes)}.", tone=Tone.NOTE),) if notes else ()
    return (*(Paragraph(text=text, tone=Tone.WARNING) for text in remarks), *tail)


# ---------------------------------------------------------------- scores


def _scores_chart(result: EvaluationResult) -> tuple[SectionBlock, ...]:
    """First scores between -1 and 1, a row a task; others stand in the table alone."""
    rows = [(row.alias, row.metrics[0]) for row in _shown(result) if row.metrics]
    dots = [dot for alias, metric in rows if (dot := _dot(alias, metric)) is not None]
    if not dots:
        return ()
    left_out = len(dots) - _MOST_DOTS
    note = (Paragraph(text=f"{left_out} more tasks stand in the table.", tone=Tone.NOTE),) if left_out > 0 else ()
    chart = DotChart(title="Scores and their intervals", dots=tuple(dots[:_MOST_DOTS]), x_label="score")
    return (chart, *note)


def _shown(result: EvaluationResult) -> tuple[TaskResult | GroupResult, ...]:
    return (*result.groups, *result.tasks)


def _dot(alias: str, metric: MetricResult) -> Dot | None:
    if metric.value is None or metric.interval is None or not -1 <= metric.value <= 1 or not metric.higher_is_better:
        return None
    return Dot(
        label=f"{alias}, {metric.name}",
        value=metric.value,
        low=metric.interval.low,
        high=metric.interval.high,
        chance=metric.chance,
    )


def _scores_table(result: EvaluationResult) -> Table:
    rows = [cells for row in _shown(result) for cells in _score_rows(row)]
    return Table(
        columns=("task", "metric", "score", "±", "interval", "guessing", "items", "remarks"),
        rows=tuple(rows),
        caption="Every score, its standard error (±) and its interval",
        highlight=tuple(range(sum(len(group.metrics) or 1 for group in result.groups))),
    )


def _score_rows(row: TaskResult | GroupResult) -> list[tuple[str | int | float | None, ...]]:
    remarks = _remarks(row) if isinstance(row, TaskResult) else "group"
    if not row.metrics:
        return [(row.alias, "", None, None, "", None, 0, remarks)]
    return [
        (
            row.alias,
            one.name if one.filter == "none" else f"{one.name}, {one.filter}",
            _rounded(one.value),
            _rounded(one.standard_error),
            "" if one.interval is None else f"{one.interval.low:.3f} to {one.interval.high:.3f}",
            _rounded(one.chance),
            one.num_items,
            remarks,
        )
        for one in row.metrics
    ]


def _remarks(task: TaskResult) -> str:
    counts = [
        ("unscored", sum(task.unscored.values())),
        *((f"without an answer for {name}", count) for name, count in task.extraction_failed.items()),
        ("prompts cut", task.truncated_prompts),
        ("shots dropped", task.dropped_shots),
    ]
    remarks = [f"{task.num_shots} shots"] if task.num_shots else []
    remarks += [f"{count:,} {what}" for what, count in counts if count]
    if task.num_items < task.num_available:
        remarks.append(f"of {task.num_available:,} items")
    if task.alarms:
        remarks.append("alarm")
    return "; ".join(remarks)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


# ---------------------------------------------------------------- the numbers behind a score


def _calibration(tasks: Sequence[TaskResult]) -> tuple[SectionBlock, ...]:
    shown = [one for one in tasks if one.calibration is not None and one.calibration.num_items >= _LEAST_CALIBRATED]
    if not shown:
        return ()
    ideal = Series(name="honest", x=(0.0, 1.0), y=(0.0, 1.0))
    curves = [_curve(task) for task in shown[:_MOST_CURVES]]
    return (
        LineChart(
            title="Confidence and accuracy of chosen answers",
            series=(*curves, ideal),
            x_label="probability the model gave its choice",
            y_label="share that is right",
        ),
        Table(
            columns=("task", "calibration error", "Brier score", "items"),
            rows=tuple(
                (one.alias, round(found.error, 4), round(found.brier, 4), found.num_items)
                for one in shown
                if (found := one.calibration) is not None
            ),
            caption="Are the probabilities honest? Smaller is better",
        ),
    )


def _curve(task: TaskResult) -> Series:
    assert task.calibration is not None
    points = [one for one in task.calibration.points if one.count >= _LEAST_POINT]
    return Series(name=task.alias, x=tuple(one.confidence for one in points), y=tuple(one.accuracy for one in points))


def _contamination(tasks: Sequence[TaskResult]) -> tuple[SectionBlock, ...]:
    rows = tuple(
        (task.alias, found.num_checked, found.num_overlapping, found.with_overlap, found.without_overlap)
        for task in tasks
        if (found := task.contamination) is not None
    )
    if not rows:
        return ()
    columns = ("task", "items checked", "in the training text", "their score", "score of the others")
    return (Table(columns=columns, rows=rows, caption="Items the model may have read in training"),)


def _failures(tasks: Sequence[TaskResult]) -> tuple[SectionBlock, ...]:
    failing = [task for task in tasks if task.failures]
    if not failing:
        return ()
    each = max(1, _MOST_FAILURES // len(failing))
    return tuple(
        Details(
            summary=f"{task.alias}: {task.num_failures:,} of {task.num_items:,} answered wrong; "
            f"the first {len(task.failures[:each])}",
            blocks=tuple(_failure(one) for one in task.failures[:each]),
        )
        for task in failing[:_MOST_FAILURES]
    )


def _failure(one: Failure) -> SampleBlock:
    choices = "\n".join(f"({number}) {choice}" for number, choice in enumerate(one.choices, start=1))
    return SampleBlock(
        prompt=_shortened(one.prompt) + (f"\n\n{choices}" if choices else ""),
        completion=one.answer or "(nothing)",
        reference=one.expected,
        note=f"item {one.doc_id}",
        completion_label="What the model chose" if one.choices else "What the model wrote",
        reference_label="The right answer",
    )


def _shortened(prompt: str) -> str:
    cut = len(prompt) - _MOST_PROMPT
    return f"[{cut:,} characters before this are not shown]\n{prompt[cut:]}" if cut > 0 else prompt


def _asked(tasks: Sequence[TaskResult]) -> tuple[SectionBlock, ...]:
    shown = [task for task in tasks if task.prompt][:_MOST_FAILURES]
    if not shown:
        return ()
    blocks: tuple[SectionBlock, ...] = tuple(
        Details(
            summary=f"{task.alias}: the first prompt, whole",
            blocks=(
                SampleBlock(
                    prompt=task.prompt,
                    completion=None,
                    note=f"version {task.version}, {task.num_shots} shots; hashes: task {task.task_hash or '–'}, "
                    f"data {task.data_hash or '–'}, prompts {task.prompt_hash or '–'}",
                ),
            ),
        )
        for task in shown
    )
    return (Details(summary="How each task was asked", blocks=blocks),)


def _cost(result: EvaluationResult) -> Table:
    return Table(
        columns=("task", "seconds", "tokens read", "tokens written", "answers kept from before"),
        rows=tuple(
            (
                task.alias,
                round(task.cost.seconds, 2),
                task.cost.prompt_tokens,
                task.cost.completion_tokens,
                task.cost.from_ledger,
            )
            for task in result.tasks
        ),
        caption="Cost",
    )
