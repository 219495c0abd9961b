"""The last section: the time of each stage, the reused stages, and the use of the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lavra.base.units import format_duration
from lavra.pipeline.results import Skipped
from lavra.pipeline.stage import StageOutcome
from lavra.report.section import Section, Table


def timings_section(
    outcomes: Sequence[StageOutcome], shares: Mapping[str, float] | None = None, budget: float = 0.0
) -> Section:
    """The section of the time of each stage, with the reused stages marked.

    Args:
        outcomes: outcomes of all stages.
        shares: share of the budget of each stage, by name; None where there was no budget.
        budget: budget in seconds.
    """
    given = {name: share * budget for name, share in (shares or {}).items()}
    rows = [
        (
            one.stage,
            _became(one),
            format_duration(one.work_seconds),
            format_duration(given[one.stage]) if one.stage in given else "",
            one.folder.parent.name + "/" + one.folder.name,
        )
        for one in outcomes
    ]
    columns = ("stage", "this time", "work took", "of the budget", "artifact")
    return Section(
        title="Stages",
        summary=_summary(outcomes) + _budget(budget) + _unused(outcomes, given, budget),
        blocks=(Table(columns=columns, rows=tuple(rows)),),
    )


def _became(one: StageOutcome) -> str:
    did = "skipped" if isinstance(one.result, Skipped) else "made"
    return "reused" if one.reused else did


def _summary(outcomes: Sequence[StageOutcome]) -> str:
    now, work = sum(one.seconds for one in outcomes), sum(one.work_seconds for one in outcomes)
    num_reused = sum(one.reused for one in outcomes)
    return (
        f"This run took {format_duration(now)}; {num_reused} of {len(outcomes)} stages were reused, "
        f"and the work behind all of them took {format_duration(work)}."
    )


def _budget(budget: float) -> str:
    """A sentence on the part of the time that the budget is for; empty where there was no budget."""
    return f" The budget of {format_duration(budget)} is for the training stages alone." if budget else ""


def _unused(outcomes: Sequence[StageOutcome], given: Mapping[str, float], budget: float) -> str:
    """A sentence on the budget that skipped stages left unused."""
    skipped = [one.stage for one in outcomes if isinstance(one.result, Skipped) and one.stage in given]
    if not skipped:
        return ""
    share = sum(given[name] for name in skipped) / budget
    return f" {share:.0%} of the budget was left unused: {' and '.join(skipped)} did not run."
