"""The section of the plan: the run as fixed before its first step, and the shares of the budget."""

from __future__ import annotations

from lavra.base.units import format_duration
from lavra.pipeline.plan import Plan
from lavra.pipeline.stages.planning import WORTH_COMPILING, PlanResult
from lavra.report.section import Cell, Fact, Facts, Paragraph, Section, Table, Tone


def plan_section(result: PlanResult) -> Section:
    """Model, steps and schedule, the measurements behind them, and each training stage's share of the budget."""
    plan, step_tokens = result.plan, result.rows * result.plan.sequence_length
    return Section(
        title="Plan",
        summary=(
            f"{plan.num_parameters / 1e6:.1f}M parameters for {plan.train.num_steps:,} steps of "
            f"{step_tokens:,} tokens: what {format_duration(plan.seconds)} buy here."
        ),
        blocks=(
            Facts(items=_facts(plan, plan.train.num_steps * step_tokens)),
            *(Paragraph(text=sentence, tone=Tone.NOTE) for sentence in result.notes),
            Table(columns=("setting", "value"), rows=_settings(result), caption="Fixed before the first step"),
            Table(
                columns=("training stage", "share of the budget", "time"),
                rows=tuple(
                    (name, f"{share:.0%}", format_duration(share * result.budget))
                    for name, share in result.shares.items()
                ),
                caption="Where the budget goes",
            ),
        ),
    )


def _facts(plan: Plan, tokens: int) -> tuple[Fact, ...]:
    return (
        Fact(label="Model", value=f"{plan.num_parameters / 1e6:.1f}M", unit="parameters", note=plan.family),
        Fact(label="Tokens to read", value=f"{tokens / 1e6:.1f}M"),
        Fact(
            label="Matrix peak here",
            value=f"{plan.peak_flops / 1e9:.0f}",
            unit="GFLOP/s",
            note=plan.train.precision,
        ),
        Fact(
            label="Compile time",
            value=format_duration(plan.compile_seconds) if plan.compile_seconds else "none",
            note=_why_not_compiled(plan),
        ),
    )


def _settings(result: PlanResult) -> tuple[tuple[Cell, ...], ...]:
    plan, share = result.plan, result.mask_share
    hidden = () if share is None else (("tokens hidden in training", f"{share:.0%}"),)
    return (
        ("hidden size", plan.hidden_size),
        ("layers", plan.num_layers),
        ("heads", plan.num_heads),
        ("context", plan.sequence_length),
        ("rows in a step", result.rows),
        ("processes", result.num_processes),
        *hidden,
        ("optimizer", f"{plan.train.optimizer.kind}, peak rate {plan.train.optimizer.learning_rate:g}"),
        ("schedule", f"{plan.train.schedule.kind}, falling over the last {plan.train.schedule.decay:.0%}"),
        ("seconds a step", f"{plan.seconds_per_step:.3f}"),
    )


def _why_not_compiled(plan: Plan) -> str:
    if plan.compiled:
        return ""
    if plan.train.compile == "off" and plan.seconds < WORTH_COMPILING:
        return f"it pays from {format_duration(WORTH_COMPILING)} of training on"
    return "turned off" if plan.train.compile == "off" else "no compiler that works"
