"""The section of a stage that did nothing."""

from __future__ import annotations

from lavra.pipeline.results import Skipped
from lavra.report import Section


def skipped_section(title: str, result: Skipped) -> Section:
    """Says why.

    Args:
        title: the one the stage's section has otherwise.
        result: with the reason.
    """
    return Section(title=title, summary=f"Skipped: {result.why}.")
