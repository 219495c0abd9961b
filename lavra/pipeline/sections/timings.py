"""The last section: what each stage cost, and which were reused."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.units import format_duration
from lavra.pipeline.stage import StageOutcome
from lavra.report import Section, Table


def timings_section(outcomes: Sequence[StageOutcome]) -> Section:
    """A section that says what each stage cost, and which were reused."""
    now, work = sum(one.seconds for one in outcomes), sum(one.work_seconds for one in outcomes)
    rows = [
        (
            one.stage,
            "reused" if one.reused else "made",
            format_duration(one.work_seconds),
            one.folder.parent.name + "/" + one.folder.name,
        )
        for one in outcomes
    ]
    num_reused = sum(one.reused for one in outcomes)
    return Section(
        title="Stages",
        summary=(
            f"This run took {format_duration(now)}; {num_reused} of {len(outcomes)} stages were reused, "
            f"and the work behind all of them took {format_duration(work)}."
        ),
        blocks=(Table(columns=("stage", "this time", "work took", "artifact"), rows=tuple(rows)),),
    )
