"""The section of a decoder on held-out text: bits per byte beside the baselines, better or worse, and completions."""

from __future__ import annotations

from lavra.pipeline.stages.evaluate import EvaluateFigures, EvaluateResult, HeldoutCompletion
from lavra.report.section import Bar, BarChart, Fact, Facts, Paragraph, SampleBlock, Section, Table, Tone


def bits_fact(figures: EvaluateFigures) -> Fact:
    """The number the report opens with."""
    return Fact(label="Held-out text", value=f"{figures.bits_per_byte:.3f}", unit="bits per byte")


def evaluate_section(result: EvaluateResult) -> Section:
    """The verdict, the comparison it rests on, and completions."""
    lost = result.heldout.lost_to
    return Section(
        title="Evaluation",
        summary=result.verdict,
        blocks=(
            Facts(items=_facts(result)),
            *(Paragraph(text=warning, tone=Tone.WARNING) for warning in result.heldout.warnings),
            *((Paragraph(text=_SAMPLED.format(result.error), tone=Tone.NOTE),) if result.error else ()),
            BarChart(
                title="Bits per byte of held-out text, fewer is better", bars=_bars(result), x_label="bits per byte"
            ),
            _table(result),
            *((Paragraph(text=f"Not beaten: {', '.join(lost)}.", tone=Tone.NOTE),) if lost else ()),
            *(_sample(one) for one in result.completions),
        ),
    )


_SAMPLED = (
    "Scoring all held-out text would take longer than the run: its bits per byte are estimated from stretches all over "
    "it, with a standard error of {:.3f}."
)


def _facts(result: EvaluateResult) -> tuple[Fact, ...]:
    return (
        bits_fact(result),
        Fact(
            label="Lines finished exactly",
            value=f"{result.lines.share_exact:.0%}",
            note=f"of {result.lines.num_lines} held-out lines",
        ),
        Fact(label="First token right", value=f"{result.lines.share_first:.0%}"),
    )


def _bars(result: EvaluateResult) -> tuple[Bar, ...]:
    return (
        Bar(label="this model", value=result.bits_per_byte, ours=True),
        *(Bar(label=row.baseline.name, value=row.baseline.bits_per_byte) for row in result.heldout.rows),
    )


def _table(result: EvaluateResult) -> Table:
    return Table(
        columns=("method", "bits per byte", "model / method", "winner", "seconds", "note"),
        rows=tuple(
            (
                row.baseline.name,
                round(row.baseline.bits_per_byte, 4),
                round(row.ratio, 3),
                "model" if row.model_wins else "baseline",
                round(row.baseline.seconds, 1),
                row.baseline.note,
            )
            for row in result.heldout.rows
        ),
        caption=f"The same {result.heldout.num_bytes:,} bytes for all",
    )


def _sample(one: HeldoutCompletion) -> SampleBlock:
    return SampleBlock(
        prompt=one.prompt,
        completion=one.completion,
        reference=one.reference,
        note=f"greedy, {one.num_tokens} tokens, from {one.document}",
    )
