"""The pretrain stage: the planned run, resumable, ending in a Hugging Face folder."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from lavra.base.ports import Hook, Progress
from lavra.base.units import format_duration
from lavra.model import save_checkpoint
from lavra.pipeline.crew import Crew
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.training import PretrainRun, lead
from lavra.report import Fact, Facts, LineChart, Section, Series, Table
from lavra.tokens import Tokenizer
from lavra.train import CallbackHook, JsonlHook, TensorBoardHook, TrainResult, read_metrics
from lavra.train.estimate import training_flops


def pretrain_stage(config: UpConfig, progress: Progress, crew: Crew, *, allow_drift: bool = False) -> Stage:
    """Train the planned model from scratch."""

    def run(context: StageContext) -> None:
        assert context.scratch is not None
        plan = Plan.load(context.parents["plan"])
        planned = PretrainRun(
            plan=plan,
            tokens=context.parents["tokens"],
            tokenizer=context.parents["tokenizer"],
            noise=config.noise,
            scratch=context.scratch,
            watch=True,
            allow_drift=allow_drift,
        )
        tokenizer, metrics = Tokenizer.load(planned.tokenizer), context.scratch / "metrics.jsonl"
        batch = planned.objective().batches.batch(0)
        flops = training_flops(plan.model_config(tokenizer), batch) * plan.train.accumulation * crew.size
        model, result = lead(crew, planned, _hooks(config, plan, flops, metrics, progress))
        save_checkpoint(model, context.folder)
        tokenizer.save(context.folder)
        context.metrics.update(steps=result.steps, tokens=result.tokens, compile_seconds=result.compile_seconds)
        context.section = _section(plan, flops, result, read_metrics(metrics))
        shutil.rmtree(context.scratch / "checkpoints", ignore_errors=True)  # the model is saved; the curve stays

    return Stage(
        name="pretrain",
        kind="model",
        folder="models",
        version=1,
        run=run,
        needs=("tokenizer", "tokens", "plan"),
        config=config.noise.to_plain(),
        resumable=True,
    )


def _hooks(config: UpConfig, plan: Plan, flops: float, metrics: Path, progress: Progress) -> list[Hook]:
    hooks: list[Hook] = [JsonlHook(metrics), CallbackHook(_show(plan, flops, progress))]
    return hooks if config.tensorboard is None else [*hooks, TensorBoardHook(config.tensorboard)]


def _show(plan: Plan, flops: float, progress: Progress) -> Callable[[int, Mapping[str, float]], None]:
    """Loss, speed and share of the machine's matrix peak, as steps go by."""

    def show(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" not in metrics:
            return
        share = flops / metrics["seconds"] / plan.peak_flops
        note = f"loss {metrics['loss']:.3f} · {metrics['tokens_per_second']:,.0f} tokens/s · {share:.0%} of matrix peak"
        progress("train", step + 1, plan.train.num_steps, note)

    return show


def _section(plan: Plan, flops: float, result: TrainResult, rows: list[dict[str, float]]) -> Section:
    steps = [row for row in rows if "loss" in row]
    seconds = sum(row["seconds"] for row in steps)
    usual = statistics.median(row["seconds"] for row in steps)
    share = flops / usual / plan.peak_flops
    loss = Series(
        name="training loss",
        x=tuple(row["tokens"] / 1e6 for row in steps),
        y=tuple(row["loss"] for row in steps),
        smooth=True,
    )
    watched = [row for row in rows if "loss" not in row]
    return Section(
        title="Training",
        summary=(
            f"{plan.num_parameters / 1e6:.1f}M parameters read {result.tokens / 1e6:.2f}M tokens "
            f"in {format_duration(seconds)}; the loss fell from {steps[0]['loss']:.2f} to "
            f"{steps[-1]['loss']:.2f} nats a token."
        ),
        blocks=(
            Facts(
                items=(
                    Fact(label="Speed", value=f"{result.tokens / seconds:,.0f}", unit="tokens/s"),
                    Fact(
                        label="Share of matrix peak",
                        value=f"{share:.0%}",
                        note=f"of {plan.peak_flops / 1e9:.0f} GFLOP/s, {plan.train.precision}",
                    ),
                    Fact(
                        label="Compile time",
                        value=format_duration(plan.compile_seconds) if result.compiled else "not compiled",
                    ),
                )
            ),
            LineChart(title="Training loss", series=(loss,), x_label="million tokens", y_label="nats per token"),
            *_watched_table(watched),
        ),
        seconds=seconds,
    )


def _watched_table(rows: list[dict[str, float]]) -> tuple[Table, ...]:
    if not rows:
        return ()
    names = sorted(name for name in rows[0] if name.startswith("eval_"))
    return (
        Table(
            columns=("step", *(name.removeprefix("eval_").replace("_", " ") for name in names)),
            rows=tuple((int(row["step"]), *(round(row[name], 4) for name in names)) for row in rows),
            caption="A sample of held-out text, during training",
        ),
    )
