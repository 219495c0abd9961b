"""A table of a suite that was scored twice: with a finetuned head, and with the same model asked by prompt.

The two numbers of a row answer different questions (the score after learning from the training rows; the score of the
unprepared model), so each names its kind, with its interval and items.  Deliberately absent: a winner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.evaluation.alarms import chance_alarm
from lavra.evaluation.results import MetricResult, TaskResult

COLUMNS: Final = ("task", "finetuned", "by prompt", "remarks")
_SAME_TASK: Final[Mapping[str, str]] = {"mnli_mismatch": "mnli"}
_NOT_ASKED: Final = "not asked"


@dataclass(frozen=True, kw_only=True)
class SuiteTaskScores:
    """The two scores of a task of a suite.

    Attributes:
        task: name of the task.
        finetuned: scores of the finetuned head, in words.
        prompted: scores of the model asked by prompt, in words.
        remarks: doubts about either score.
    """

    task: str
    finetuned: str
    prompted: str
    remarks: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table's row, in the order of `COLUMNS`."""
        return (self.task, self.finetuned, self.prompted, self.remarks)


def side_by_side(finetuned: Sequence[TaskResult], prompted: Sequence[TaskResult]) -> tuple[SuiteTaskScores, ...]:
    """Make a row for each task: finetuned tasks in their order, then the tasks that were only asked by prompt.

    Args:
        finetuned: tasks scored by finetuning a head.
        prompted: tasks scored by prompt.
    """
    heads = {one.task: one for one in finetuned}
    asked: dict[str, list[TaskResult]] = {}
    for one in prompted:
        asked.setdefault(_SAME_TASK.get(one.task, one.task), []).append(one)
    return tuple(_row(name, heads.get(name), asked.get(name, [])) for name in dict.fromkeys((*heads, *asked)))


def markdown_table(rows: Sequence[SuiteTaskScores]) -> str:
    """Write the rows as a Markdown table.

    Args:
        rows: rows from `side_by_side`.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row.cells)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _row(name: str, head: TaskResult | None, asked: Sequence[TaskResult]) -> SuiteTaskScores:
    remarks = [*_remarks("finetuned", () if head is None else (head,)), *_remarks("by prompt", asked)]
    return SuiteTaskScores(
        task=name,
        finetuned=_NOT_ASKED if head is None else _scores(head),
        prompted="; ".join(_scores(one) + _shots(one) for one in asked) or _NOT_ASKED,
        remarks="; ".join(remarks),
    )


def _scores(task: TaskResult) -> str:
    scored = [_score(metric) for metric in task.metrics if metric.value is not None]
    if scored:
        return "; ".join(scored)
    why = "; ".join(f"{count:,} items: {reason}" for reason, count in task.unscored.items())
    return f"unscored: {why or 'see remarks'}"


def _score(metric: MetricResult) -> str:
    assert metric.value is not None
    interval = "" if metric.interval is None else f" [{metric.interval.low:.3f}, {metric.interval.high:.3f}]"
    guess = "" if metric.chance is None else f", guessing {metric.chance:.3f}"
    return f"{metric.name} {metric.value:.3f}{interval} n={metric.num_items:,}{guess}"


def _shots(task: TaskResult) -> str:
    return f" ({task.num_shots} shots)"


def _remarks(how: str, tasks: Sequence[TaskResult]) -> list[str]:
    """The alarms and warnings of tasks; the alarm about guessing is left out, since the cell already says it."""
    remarks = [
        one for task in tasks for one in (*task.alarms, *task.warnings) if one and one != chance_alarm(task.metrics)
    ]
    return [f"{how}: {one}" for one in dict.fromkeys(remarks)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
