"""The section of the model in eight bits: its savings, its cost, and whether it is within its bars."""

from __future__ import annotations

from typing import Final

from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.skipped import skipped_section
from lavra.pipeline.stages.compress import CompressResult
from lavra.report.section import Fact, Facts, Section, Table, Tone

_TITLE: Final = "Eight bits"


def compress_section(result: CompressResult | Skipped) -> Section:
    """The quality card; a missed bar has the warning tone."""
    if isinstance(result, Skipped):
        return skipped_section(_TITLE, result)
    card = result.quality
    increase = card.comparison.bits_increase
    cost = "" if increase is None else f" for {increase:+.2%} bits per {card.comparison.unit}"
    verdict = "within its bars" if card.holds else f"it misses its bars: {'; '.join(card.misses)}"
    return Section(
        title=_TITLE,
        summary=f"The model's folder in {card.bytes / card.source_bytes:.2f} of its size{cost}: {verdict}.",
        blocks=(
            Facts(
                items=(
                    Fact(
                        label="INT8 quality card",
                        value="holds" if card.holds else "misses",
                        tone=Tone.GOOD if card.holds else Tone.WARNING,
                    ),
                )
            ),
            Table(
                columns=("", "before", "after", "bar"),
                rows=tuple(card.rows()),
                caption=f"Measured on {card.comparison.num_tokens:,} positions of {card.text}",
            ),
        ),
    )
