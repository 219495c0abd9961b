"""The section of a skipped stage."""

from __future__ import annotations

from lavra.pipeline.results import Skipped
from lavra.report.section import Section


def skipped_section(title: str, result: Skipped) -> Section:
    """The reason for the skip, and whether the next run tries again.

    Args:
        title: the usual title of the stage's section.
        result: the result with the reason.
    """
    tries = " The next run tries again, for the machine may have been slow for a moment." if result.again else ""
    return Section(title=title, summary=f"Skipped: {result.why}.{tries}")
