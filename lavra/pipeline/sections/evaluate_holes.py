"""An encoder or encoder-decoder on held-out holes: nats a hidden token beside counts from both sides."""

from __future__ import annotations

from typing import Final

from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.skipped import skipped_section
from lavra.pipeline.stages.evaluate_holes import OURS, EvaluateHolesFigures, EvaluateHolesResult
from lavra.report.section import Bar, BarChart, Fact, Facts, Section

_TITLE: Final = "Evaluation"


def nats_fact(figures: EvaluateHolesFigures) -> Fact:
    """The number the report opens with."""
    return Fact(label="Hidden tokens", value=f"{figures.nats:.3f}", unit="nats each")


def evaluate_holes_section(result: EvaluateHolesResult | Skipped) -> Section:
    """The verdict and the comparison it rests on."""
    if isinstance(result, Skipped):
        return skipped_section(_TITLE, result)
    bars = tuple(Bar(label=name, value=nats, ours=name == OURS) for name, nats in result.nats_per_hole.items())
    return Section(
        title=_TITLE,
        summary=result.verdict,
        blocks=(
            Facts(items=(Fact(label="Hidden tokens", value=f"{result.num_holes:,}", note="the same for all"),)),
            BarChart(
                title="Nats per hidden held-out token, fewer is better", bars=bars, x_label="nats per hidden token"
            ),
        ),
    )
