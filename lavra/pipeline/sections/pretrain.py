"""The section of the training run: its speed, its loss curve, and the held-out scores during training."""

from __future__ import annotations

from typing import Final

from lavra.base.units import format_duration
from lavra.pipeline.stages.pretrain import HeldoutGlance, PretrainResult
from lavra.report.section import Fact, Facts, LineChart, Section, Series, Table

_TOKENS: Final = "million tokens"
_LEAST_POINTS: Final = 2


def pretrain_section(result: PretrainResult) -> Section:
    """Speed, the loss curve, and held-out scores during training."""
    seconds, curve = result.seconds_of_steps, result.curve
    loss = Series(
        name="training loss",
        x=tuple(point.tokens / 1e6 for point in curve),
        y=tuple(point.loss for point in curve),
        smooth=True,
    )
    return Section(
        title="Training",
        summary=(
            f"{result.num_parameters / 1e6:.1f}M parameters read {result.tokens / 1e6:.2f}M tokens "
            f"in {format_duration(seconds)}; the loss fell from {curve[0].loss:.2f} to "
            f"{curve[-1].loss:.2f} nats a token."
        ),
        blocks=(
            Facts(items=_facts(result)),
            LineChart(title="Training loss", series=(loss,), x_label=_TOKENS, y_label="nats per token"),
            *_heldout_curves(result),
            *_glances_table(result.glances),
        ),
        seconds=seconds,
    )


def _facts(result: PretrainResult) -> tuple[Fact, ...]:
    return (
        Fact(label="Speed", value=f"{result.tokens / result.seconds_of_steps:,.0f}", unit="tokens/s"),
        Fact(
            label="Share of matrix peak",
            value=f"{result.share_of_peak:.0%}",
            note=f"of {result.peak_flops / 1e9:.0f} GFLOP/s, {result.precision}",
        ),
        Fact(
            label="Compile time",
            value=format_duration(result.planned_compile_seconds) if result.compiled else "not compiled",
        ),
    )


def _heldout_curves(result: PretrainResult) -> tuple[LineChart, ...]:
    """A chart of each score of held-out text, over the same steps as the training loss; one value makes no curve."""
    tokens = {step: point.tokens / 1e6 for step, point in enumerate(result.curve, start=1)}
    seen = [one for one in result.glances if one.step in tokens]
    if len(seen) < _LEAST_POINTS:
        return ()
    return tuple(
        LineChart(
            title=f"Held-out text during training: {_words(name)}, less is better",
            series=(
                Series(
                    name="held-out text",
                    x=tuple(tokens[one.step] for one in seen),
                    y=tuple(one.scores[name] for one in seen),
                ),
            ),
            x_label=_TOKENS,
            y_label=_words(name),
        )
        for name in seen[0].scores
    )


def _words(score: str) -> str:
    return score.replace("_", " ")


def _glances_table(glances: tuple[HeldoutGlance, ...]) -> tuple[Table, ...]:
    if not glances:
        return ()
    names = list(glances[0].scores)
    return (
        Table(
            columns=("step", *map(_words, names)),
            rows=tuple((one.step, *(round(one.scores[name], 4) for name in names)) for one in glances),
            caption="A sample of held-out text, during training"
            + (" (error: the standard error of sampling)" if any("error" in name for name in names) else ""),
        ),
    )
