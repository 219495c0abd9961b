"""The section of two models on the same items: a verdict a task, with its evidence."""

from __future__ import annotations

from collections import Counter

from lavra.evaluation.compare import BetterModel, ModelComparison, TaskComparison
from lavra.report.section import Dot, DotChart, Section, SectionBlock, Table


def comparison_section(found: ModelComparison) -> Section:
    """Differences with their intervals, and every verdict.

    Args:
        found: two models on some tasks.
    """
    counts = Counter(one.verdict for one in found.tasks)
    return Section(
        title=f"{found.second} beside {found.first}",
        summary=(
            f"Of {len(found.tasks)} tasks {found.second} is better at {counts[BetterModel.SECOND]}, {found.first} at "
            f"{counts[BetterModel.FIRST]}; at {counts[BetterModel.UNDECIDED]} the items do not decide."
        ),
        blocks=(*_differences(found), _table(found)),
    )


def _differences(found: ModelComparison) -> tuple[SectionBlock, ...]:
    """A chart of the second score less the first, with a mark at no difference."""
    dots = tuple(
        Dot(
            label=f"{one.task}, {one.metric}",
            value=one.difference,
            low=one.interval.low,
            high=one.interval.high,
            chance=0,
        )
        for one in found.tasks
        if one.difference is not None and one.interval is not None
    )
    if not dots:
        return ()
    title = f"Difference in score: right of 0 {found.second} scores more"
    return (DotChart(title=title, dots=dots, x_label="difference in score", mark="no difference"),)


def _table(found: ModelComparison) -> Table:
    return Table(
        columns=("task", "metric", found.first, found.second, "difference", "p, corrected", "items", "verdict"),
        rows=tuple(_row(one, found) for one in found.tasks),
        caption=f"On the same items; p-values corrected for {found.num_corrected} tests (Holm)",
        highlight=tuple(place for place, one in enumerate(found.tasks) if one.verdict is not BetterModel.UNDECIDED),
    )


def _row(one: TaskComparison, found: ModelComparison) -> tuple[str | int | float | None, ...]:
    difference = "" if one.difference is None else f"{one.difference:+.4f} {one.interval or ''}".strip()
    return (
        one.task,
        one.metric if one.filter == "none" else f"{one.metric}, {one.filter}",
        _rounded(one.first),
        _rounded(one.second),
        difference,
        f"{one.p_corrected:.3g}",
        one.num_items,
        one.sentence(found.first, found.second),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
