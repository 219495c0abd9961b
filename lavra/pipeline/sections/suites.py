"""The section of a suite scored twice: by finetuning a head, and by prompt."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.evaluation.side_by_side import COLUMNS, SuiteTaskScores
from lavra.report.section import Paragraph, Section, Table, Tone


def suites_section(rows: Sequence[SuiteTaskScores], recipe: str, title: str = "GLUE and SuperGLUE") -> Section:
    """A table, and the meaning of its two columns.

    Args:
        rows: rows of the table, a task each.
        recipe: the finetuning recipe of the heads, in words.
        title: the section's heading.
    """
    return Section(
        title=title,
        summary=f"{len(rows)} tasks, each scored by finetuning a head and by prompt where the model can be asked.",
        blocks=(
            Paragraph(
                text=f"Finetuned: a fresh head on the model, trained with {recipe}, scored by the benchmark's official "
                "scores on its development set. By prompt: the model as it is. The two answer different questions.",
                tone=Tone.NOTE,
            ),
            Table(columns=COLUMNS, rows=tuple(row.cells for row in rows), caption="Both ways"),
        ),
    )
