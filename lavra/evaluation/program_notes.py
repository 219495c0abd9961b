"""What became of a task's programs, in sentences that stand below its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lavra.evaluation.items import ItemScore
from lavra.evaluation.sandbox.report import ProgramEnd, SandboxKind


def program_notes(scores: Sequence[ItemScore]) -> list[str]:
    """How many programs passed, how the others ended, and what some tried; nothing where no code was run.

    Args:
        scores: of a task's items.
    """
    reports = [report for score in scores for report in score.programs]
    if not reports:
        return []
    ends = Counter(report.outcome for report in reports)
    passed = ends.pop(ProgramEnd.PASSED, 0)
    parts = [
        f"{passed:,} of {len(reports):,} programs passed",
        *(f"{n:,}: {end.value}" for end, n in ends.most_common()),
    ]
    notes = ["; ".join(parts)]
    tried = Counter(attempt for report in reports for attempt in report.attempts)
    if tried:
        notes.append("programs tried to " + "; ".join(f"{one.value} ({count:,})" for one, count in tried.most_common()))
    if any(report.sandbox is SandboxKind.NONE for report in reports):
        notes.append("programs ran without a sandbox")
    return notes
