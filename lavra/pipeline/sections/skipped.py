"""The section of a stage that did nothing."""

from __future__ import annotations

from lavra.pipeline.results import Skipped
from lavra.report import Section


def skipped_section(title: str, result: Skipped) -> Section:
    """Says why, and whether the next run tries again.

    Args:
        title: the one the stage's section has otherwise.
        result: with the reason.
    """
    tries = " The next run tries again, for the machine may have been slow for a moment." if result.again else ""
    return Section(title=title, summary=f"Skipped: {result.why}.{tries}")
