"""The pretrain stage: the planned run, resumable, ending in a Hugging Face folder."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.disk import require_room
from lavra.base.ports import Hook, Progress
from lavra.model.checkpoint import save_checkpoint
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.training import PretrainRun, lead
from lavra.pipeline.worker_group import WorkerGroup
from lavra.runs.run import METRICS_FILE, loss_of_step, show_steps
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.estimate import training_flops
from lavra.train.hooks import JsonlHook, TensorBoardHook, read_metrics
from lavra.train.loop import TrainResult

_WRITTEN: Final = 4 * (1 + 1 + 1)
"""Least bytes on the disk a parameter: the model, a checkpoint's weights, one moment of the optimizer (Muon's)."""


@dataclass(frozen=True, kw_only=True)
class PretrainFigures:
    """The training's figures in the card.

    Attributes:
        steps: optimizer steps done, over all resumed parts.
        tokens: number of targets trained on.
        compile_seconds: time of compiling, outside the planned time.
    """

    steps: int
    tokens: int
    compile_seconds: float


@dataclass(frozen=True, kw_only=True)
class LossPoint:
    """The training loss at a step.

    Attributes:
        tokens: number of tokens read so far.
        loss: loss in nats a token.
    """

    tokens: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class HeldoutGlance:
    """The scores of a sample of held-out text during training.

    Attributes:
        step: optimizer step of the scores.
        scores: held-out scores, by name.
    """

    step: int
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class PretrainResult(PretrainFigures):
    """The result of the pretrain stage.

    Attributes:
        num_parameters: parameters of the model; shared parameters count once.
        precision: precision of its matrix products.
        peak_flops: operations a second of a matrix product in this precision, measured.
        planned_compile_seconds: time of compiling when the plan stage timed the steps.
        compiled: whether blocks were compiled.
        seconds_of_steps: time of all steps together.
        share_of_peak: operations a second of a usual step, over the machine's matrix peak.
        curve: the loss of each step.
        glances: held-out scores during training.
    """

    num_parameters: int
    precision: str
    peak_flops: float
    planned_compile_seconds: float
    compiled: bool
    seconds_of_steps: float
    share_of_peak: float
    curve: tuple[LossPoint, ...]
    glances: tuple[HeldoutGlance, ...]


def pretrain_stage(
    config: UpConfig, progress: Progress, workers: WorkerGroup, *, allow_drift: bool = False
) -> Stage[PretrainResult]:
    """Train the planned model from scratch."""

    def run(context: StageContext) -> PretrainResult:
        assert context.scratch is not None
        plan = Plan.load(context.parents["plan"])
        require_room(context.scratch, _WRITTEN * plan.num_parameters, "the model with a checkpoint")
        planned = PretrainRun(
            plan=plan,
            tokens=context.parents["tokens"],
            tokenizer=context.parents["tokenizer"],
            noise=config.noise,
            scratch=context.scratch,
            watch=True,
            allow_drift=allow_drift,
        )
        tokenizer, metrics = Tokenizer.load(planned.tokenizer), context.scratch / METRICS_FILE
        batch = planned.objective().batches.batch(0)
        flops = training_flops(plan.model_config(tokenizer), batch) * plan.train.accumulation * workers.size
        model, result = lead(workers, planned, _hooks(config, plan, flops, metrics, progress))
        save_checkpoint(model, context.folder)
        tokenizer.save(context.folder)
        return _result(plan, flops, result, read_metrics(metrics))

    return Stage(
        name="pretrain",
        kind="model",
        folder="models",
        version=1,
        run=run,
        needs=("tokenizer", "tokens", "plan"),
        config=config.noise.to_plain(),
        resumable=True,
        result=PretrainResult,
        figures=PretrainFigures,
    )


def _hooks(config: UpConfig, plan: Plan, flops: float, metrics: Path, progress: Progress) -> list[Hook]:
    def note(step: Mapping[str, float]) -> str:
        """Loss, speed and share of the machine's matrix peak."""
        share = flops / step["seconds"] / plan.peak_flops
        return f"{loss_of_step(step)} · {step['tokens_per_second']:,.0f} tokens/s · {share:.0%} of matrix peak"

    hooks: list[Hook] = [JsonlHook(metrics), show_steps("train", plan.train.num_steps, progress, note)]
    return hooks if config.tensorboard is None else [*hooks, TensorBoardHook(config.tensorboard)]


def _result(plan: Plan, flops: float, trained: TrainResult, rows: list[dict[str, float]]) -> PretrainResult:
    steps = [row for row in rows if "loss" in row]
    usual = statistics.median(row["seconds"] for row in steps)
    return PretrainResult(
        steps=trained.steps,
        tokens=trained.tokens,
        compile_seconds=trained.compile_seconds,
        num_parameters=plan.num_parameters,
        precision=plan.train.precision,
        peak_flops=plan.peak_flops,
        planned_compile_seconds=plan.compile_seconds,
        compiled=trained.compiled,
        seconds_of_steps=sum(row["seconds"] for row in steps),
        share_of_peak=flops / usual / plan.peak_flops,
        curve=curve_of(rows),
        glances=glances_of(rows),
    )


def curve_of(rows: Sequence[Mapping[str, float]]) -> tuple[LossPoint, ...]:
    """The loss of each step in the lines of `metrics.jsonl`."""
    return tuple(LossPoint(tokens=row["tokens"], loss=row["loss"]) for row in rows if "loss" in row)


def glances_of(rows: Sequence[Mapping[str, float]]) -> tuple[HeldoutGlance, ...]:
    """The held-out scores in the lines of `metrics.jsonl`."""
    return tuple(_glance(row) for row in rows if "loss" not in row)


def _glance(row: Mapping[str, float]) -> HeldoutGlance:
    scores = {name.removeprefix("eval_"): row[name] for name in sorted(row) if name.startswith("eval_")}
    return HeldoutGlance(step=int(row["step"]), scores=scores)
