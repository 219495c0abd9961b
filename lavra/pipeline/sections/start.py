"""The sections of a model trained further: its training, and its held-out scores before and after."""

from __future__ import annotations

from lavra.base.units import format_duration
from lavra.pipeline.stages.start import ContinueResult, StartPlanResult
from lavra.report.section import Cell, Fact, Facts, LineChart, Paragraph, Section, Series, Table, Tone


def start_plan_section(result: StartPlanResult) -> Section:
    """The trained part of the model, the reason for it, and the length of the run."""
    plan = result.plan
    return Section(
        title="Plan",
        summary=(
            f"{_what(result.method)} of {result.model} for {result.num_steps:,} steps: what "
            f"{format_duration(plan.seconds)} buy here."
        ),
        blocks=(
            Facts(items=_facts(result)),
            Paragraph(text=f"Memory: {result.why}."),
            *(Paragraph(text=note, tone=Tone.NOTE) for note in result.notes),
            Table(columns=("setting", "value"), rows=_settings(result), caption="Fixed before the first step"),
        ),
    )


def continue_section(result: ContinueResult) -> Section:
    """Held-out text before and after, and the curves between."""
    loss = Series(
        name="training loss",
        x=tuple(point.tokens / 1e3 for point in result.curve),
        y=tuple(point.loss for point in result.curve),
        smooth=True,
    )
    return Section(
        title="Training goes on",
        summary=_summary(result),
        blocks=(
            Facts(items=_outcome(result)),
            *(() if _is_better(result) else (Paragraph(text=_NO_BETTER, tone=Tone.WARNING),)),
            LineChart(title="Training loss", series=(loss,), x_label="thousand tokens", y_label="nats per token"),
            *_looks_table(result),
        ),
        seconds=result.seconds_of_steps,
    )


def _is_better(result: ContinueResult) -> bool:
    return result.before is not None and result.after is not None and result.after < result.before


def _name(result: ContinueResult) -> str:
    return result.score.replace("_", " ")


def _summary(result: ContinueResult) -> str:
    if result.before is None or result.after is None:
        return "The held-out text is too short to measure on, so nobody knows whether the training helped."
    cost = f"A sample of held-out text costs {result.after:.3f} {_name(result)}; with the model as it was"
    end = "" if _is_better(result) else " The training did not help."
    return f"{cost}, {result.before:.3f}.{end}"


def _outcome(result: ContinueResult) -> tuple[Fact, ...]:
    speed = Fact(label="Speed", value=f"{result.tokens / result.seconds_of_steps:,.0f}", unit="tokens/s")
    if result.before is None or result.after is None:
        return (speed,)
    return (
        Fact(label="Before", value=f"{result.before:.3f}", unit=_name(result), note=result.model),
        Fact(label="After", value=f"{result.after:.3f}", unit=_name(result)),
        speed,
    )


def _looks_table(result: ContinueResult) -> tuple[Table, ...]:
    if result.before is None:
        return ()
    looks = [(0, result.before), *((one.step, one.scores[result.score]) for one in result.glances)]
    return (
        Table(
            columns=("step", _name(result)),
            rows=tuple((step, round(value, 4)) for step, value in looks),
            caption=f"{result.watched:,} tokens of held-out text, before, during and after training",
        ),
    )


_NO_BETTER = (
    "On held-out text the saved model is not measured as better than the one it began as: give more time or text, or a "
    "lower learning rate, and go on using the model as it was."
)


def _what(method: str) -> str:
    return "All" if method == "full" else "A LoRA on every layer"


def _facts(result: StartPlanResult) -> tuple[Fact, ...]:
    plan = result.plan
    tokens = result.num_steps * plan.batch_size * plan.train.accumulation * plan.sequence_length
    return (
        Fact(label="Model", value=f"{result.parameters / 1e6:.1f}M", unit="parameters", note=plan.family),
        Fact(label="Trained", value=f"{result.trained_parameters / 1e6:.1f}M", unit="parameters"),
        Fact(label="Tokens to read", value=f"{tokens:,}"),
    )


def _settings(result: StartPlanResult) -> tuple[tuple[Cell, ...], ...]:
    plan = result.plan
    return (
        ("tokens of a row", plan.sequence_length),
        ("rows in a step", plan.batch_size * plan.train.accumulation),
        ("optimizer", f"{plan.train.optimizer.kind}, peak rate {plan.train.optimizer.learning_rate:g}"),
        ("precision", plan.train.precision),
        ("seconds a step", f"{plan.seconds_per_step:.2f}"),
    )
