"""Sentences about the programs of a task, to be shown below its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lavra.evaluation.items import ItemScore
from lavra.evaluation.sandbox.report import ProgramEnd, SandboxKind


def program_notes(scores: Sequence[ItemScore]) -> list[str]:
    """Say how many programs passed, how the others ended and which refused acts they tried; empty if no code was run.

    Args:
        scores: the item scores of a task.
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
