"""The pretrain stage: the planned run, resumable, ending in a Hugging Face folder."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.disk import require_room
from lavra.base.ports import Hook, Progress
from lavra.model import save_checkpoint
from lavra.pipeline.crew import Crew
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.training import PretrainRun, lead
from lavra.runs.run import METRICS_FILE, loss_of_step, show_steps
from lavra.tokens import Tokenizer
from lavra.train import JsonlHook, TensorBoardHook, TrainResult, read_metrics
from lavra.train.estimate import training_flops

_WRITTEN: Final = 4 * (1 + 1 + 1)
"""Bytes on the disk a parameter, at least: the model, a checkpoint's weights, one moment of the optimizer (Muon's)."""


@dataclass(frozen=True, kw_only=True)
class PretrainFigures:
    """What the card says of the training.

    Attributes:
        steps: optimizer steps done, over all resumed parts.
        tokens: targets trained on.
        compile_seconds: spent compiling, beside the planned time.
    """

    steps: int
    tokens: int
    compile_seconds: float


@dataclass(frozen=True, kw_only=True)
class LossPoint:
    """The training loss at a step.

    Attributes:
        tokens: read until then.
        loss: nats a token.
    """

    tokens: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class HeldoutGlance:
    """A look at a sample of held-out text during training.

    Attributes:
        step: when.
        scores: by name.
    """

    step: int
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class PretrainResult(PretrainFigures):
    """How the training went.

    Attributes:
        num_parameters: of the model, shared ones once.
        precision: of its products.
        peak_flops: operations a second of a matrix product in this precision, measured.
        planned_compile_seconds: compiling took as long when the steps were timed.
        compiled: whether blocks were compiled.
        seconds_of_steps: of all steps together.
        share_of_peak: operations a second of a usual step, over the machine's matrix peak.
        curve: the loss of each step.
        glances: at held-out text meanwhile.
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
    config: UpConfig, progress: Progress, crew: Crew, *, allow_drift: bool = False
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
        flops = training_flops(plan.model_config(tokenizer), batch) * plan.train.accumulation * crew.size
        model, result = lead(crew, planned, _hooks(config, plan, flops, metrics, progress))
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
    """The loss of each step, of the lines of `metrics.jsonl`."""
    return tuple(LossPoint(tokens=row["tokens"], loss=row["loss"]) for row in rows if "loss" in row)


def glances_of(rows: Sequence[Mapping[str, float]]) -> tuple[HeldoutGlance, ...]:
    """The looks at held-out text, of the lines of `metrics.jsonl`."""
    return tuple(_glance(row) for row in rows if "loss" not in row)


def _glance(row: Mapping[str, float]) -> HeldoutGlance:
    scores = {name.removeprefix("eval_"): row[name] for name in sorted(row) if name.startswith("eval_")}
    return HeldoutGlance(step=int(row["step"]), scores=scores)
