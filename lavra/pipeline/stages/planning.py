"""The plan stage: it fixes a training run before step 0, from time and machine.

First, the machine's matrix peak gives the number of operations in the budget, and a ladder of shapes gives the best
model for them.
Then the stage builds that model and times a few real steps (after compiling).
The number of steps follows from this time, so the run ends within the budget.
The plan is an artifact: a resumed run never measures again, and training never depends on a clock.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, TypeAlias

import torch

from lavra.base.device import bf16_pays, find_compiler, matrix_peak, pick_device, usual_fingerprint
from lavra.base.errors import ConfigError
from lavra.base.ports import Progress
from lavra.base.units import format_duration
from lavra.model.config import Kind
from lavra.model.transformer import num_parameters
from lavra.pipeline.fit import memory_check, must_pass, time_check, to_text
from lavra.pipeline.objective import num_rows
from lavra.pipeline.plan import HEAD_CHANNELS, LEARNING, MOST_READ, Plan, TextSize, choose_shape, round_up
from lavra.pipeline.settings import DEFAULT_OPTIMIZER, UpConfig, planned_shares
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stages.prepare import open_tokens
from lavra.pipeline.training import PretrainRun, lead
from lavra.pipeline.training_samples import TrainingSamples
from lavra.pipeline.worker_group import WorkerGroup
from lavra.runs.budget import LEAST_STEPS, save_every
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.hooks import CallbackHook

Compiling: TypeAlias = Literal["auto", "on", "off"]

USABLE: Final = 0.6  # share of the matrix peak, assumed before the measurement
WORTH_COMPILING: Final = 120.0
"""Least seconds of training at which `compile: auto` compiles: 20 to 45 s of compiling save a quarter of each step."""
_TRIAL_STEPS: Final = LEAST_STEPS
_MARGIN: Final = 0.97  # share of the time: evaluations and checkpoints take the rest
_OFTEN: Final = 16  # times the text is read; reading it more often teaches next to nothing

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlanFigures:
    """The plan's figures in the card.

    Attributes:
        parameters: parameters of the model; shared parameters count once.
        num_steps: steps of the run.
    """

    parameters: int
    num_steps: int


@dataclass(frozen=True, kw_only=True)
class PlanResult(PlanFigures):
    """The result of the plan stage: the fixed run.

    Attributes:
        plan: settings of the run.
        num_processes: number of processes that share the run.
        mask_share: share of the tokens hidden in training; None where no tokens are hidden, or BERT's share is.
        budget: seconds for all training stages.
        shares: share of the budget of each training stage; stages without samples are absent.
        notes: changes because of too little text, a sentence each.
    """

    plan: Plan
    num_processes: int
    mask_share: float | None
    budget: float
    shares: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows read in a step, by all processes."""
        return self.plan.batch_size * self.plan.train.accumulation * self.num_processes


def plan_stage(config: UpConfig, progress: Progress, workers: WorkerGroup) -> Stage[PlanResult]:
    """The stage that fixes the run."""
    device = pick_device()

    def run(context: StageContext) -> PlanResult:
        given = TrainingSamples.open(context.parents["instructions"]).shares(config.kind)
        text = TextSize(
            open_tokens(context.parents["tokens"], "train").num_tokens,
            Tokenizer.load(context.parents["tokenizer"]).vocab_size,
        )
        plan = draft(config, config.budget * given["pretrain"], device, workers.size, text)
        plan, notes = to_text(plan, config, rows_of(config, context))
        plan = _fix_steps(plan, config, context, progress, workers)
        plan, reading_notes = read_at_most(plan, config.kind, text.num_tokens, workers.size)
        notes += reading_notes
        for sentence in notes:
            log.warning(sentence)
        plan.save(context.folder)
        return PlanResult(
            parameters=plan.num_parameters,
            num_steps=plan.train.num_steps,
            plan=plan,
            num_processes=workers.size,
            mask_share=config.noise.mask_share,
            budget=config.budget,
            shares=given,
            notes=notes,
        )

    return Stage(
        name="plan",
        kind="plan",
        folder="runs",
        version=4,
        run=run,
        needs=("tokenizer", "tokens", "instructions"),
        config={**config.plan_settings(), "shares": planned_shares()},
        # A plan is for one machine: on another it is made anew.
        inputs={"machine": repr(asdict(usual_fingerprint(device, workers.size)))},
        result=PlanResult,
        figures=PlanFigures,
    )


def rows_of(config: UpConfig, context: StageContext) -> Callable[[int], int]:
    """Tokens in a row -> rows that the training text fills."""
    dataset, tokenizer = open_tokens(context.parents["tokens"], "train"), Tokenizer.load(context.parents["tokenizer"])

    def rows(length: int) -> int:
        return num_rows(config.kind, dataset, tokenizer, sequence_length=length, noise=config.noise)

    return rows


def read_at_most(plan: Plan, kind: Kind, num_tokens: int, num_processes: int) -> tuple[Plan, tuple[str, ...]]:
    """Shorten a plan so that a decoder reads its text at most `MOST_READ` times: more made it worse on held-out text.

    An encoder or encoder-decoder continues, because its holes differ every time; a note says so where it reads often.

    Args:
        plan: plan with the number of steps that fits the time.
        kind: kind of the model.
        num_tokens: tokens of the training text.
        num_processes: number of processes that share a step.

    Returns:
        The plan, and a sentence where the text is too little for the time.
    """
    step = plan.batch_size * plan.sequence_length * plan.train.accumulation * num_processes
    times = plan.train.num_steps * step / num_tokens
    if kind is not Kind.DECODER:
        often = f"The text is read {times:,.0f} times; over some {_OFTEN} times, more text teaches more than more time."
        return plan, (often,) if times > _OFTEN else ()
    most = max(LEAST_STEPS, math.ceil(MOST_READ * num_tokens / step))
    if plan.train.num_steps <= most:
        return plan, ()
    read = most * step / num_tokens  # more than `MOST_READ` where a run would have too few steps
    left = format_duration((plan.train.num_steps - most) * plan.seconds_per_step)
    ended = (
        f"Training ends when the text has been read {read:,.0f} times. The budget has time for {times:,.0f}, which "
        f"makes a model worse at text it never saw. {left} of the budget stay unused; more text would use them."
    )
    return replace(plan, train=replace(plan.train, num_steps=most, eval_every=max(1, most // 4))), (ended,)


def draft(
    config: UpConfig, seconds: float, device: torch.device, num_processes: int = 1, text: TextSize | None = None
) -> Plan:
    """The plan's shape for this machine, time and text; the number of steps comes later."""
    precision: Literal["bf16", "float32"] = "bf16" if bf16_pays(device) else "float32"
    peak = matrix_peak(torch.bfloat16 if precision == "bf16" else torch.float32, device)
    learning = LEARNING[config.kind]
    rung = choose_shape(peak * USABLE * seconds * learning.taught, text if config.kind is Kind.DECODER else None)
    hidden = config.hidden_size or rung.hidden_size
    unit = config.context * config.accumulation * num_processes
    optimizer = OptimizerConfig(kind=config.optimizer or DEFAULT_OPTIMIZER)
    if config.learning_rate is not None:
        optimizer = replace(optimizer, learning_rate=config.learning_rate)
    elif optimizer.kind == "muon":
        optimizer = replace(optimizer, learning_rate=learning.rate, embedding_learning_rate=learning.embedding_rate)
    return Plan(
        family=config.family,
        hidden_size=hidden,
        num_layers=config.num_layers or max(1, rung.num_layers // learning.stacks),
        num_heads=max(learning.least_heads, hidden // HEAD_CHANNELS),
        sequence_length=config.context,
        batch_size=step_tokens(config, rung.step_tokens, unit) // unit,
        train=TrainConfig(
            num_steps=_TRIAL_STEPS,
            accumulation=config.accumulation,
            precision=precision,
            compile=_compiling(config.compile, seconds),
            optimizer=optimizer,
            activation_checkpointing=config.activation_checkpointing,
            parallel=config.parallel,
            seed=config.seed,
        ),
        seed=config.seed,
        peak_flops=peak,
        seconds=seconds,
    )


def _compiling(asked: Compiling, seconds: float) -> Compiling:
    """The compiling mode asked for; `auto` becomes `off` in a run too short for it."""
    return "off" if asked == "auto" and seconds < WORTH_COMPILING else asked


def step_tokens(config: UpConfig, usual: int, unit: int) -> int:
    """The tokens of a step: a whole number of rows for every part and process.

    Args:
        config: settings; a number in them is never rounded.
        usual: default number, rounded up to the unit.
        unit: tokens of a row, times the parts and processes of a step.

    Raises:
        ConfigError: the number in the settings is not a multiple of the unit.
    """
    if config.step_tokens is None:
        return round_up(usual, unit)
    if config.step_tokens % unit:
        raise ConfigError(
            f"step_tokens is {config.step_tokens}, not a multiple of {unit} (a row for each part and process); "
            f"give {round_up(config.step_tokens, unit)}"
        )
    return config.step_tokens


def _fix_steps(plan: Plan, config: UpConfig, context: StageContext, progress: Progress, workers: WorkerGroup) -> Plan:
    """Time real steps of the real model, and compute the number of steps that fit."""
    trial = PretrainRun(
        plan=plan, tokens=context.parents["tokens"], tokenizer=context.parents["tokenizer"], noise=config.noise
    )
    if workers.size == 1:  # the estimate is of one process that holds everything
        _refuse_what_memory_cannot_hold(trial)
    times: list[float] = []
    progress("time a few steps", 0, _TRIAL_STEPS, "" if plan.train.compile == "off" else "the first one compiles")

    def note(step: int, metrics: Mapping[str, float]) -> None:
        times.append(metrics["seconds"])
        progress("time a few steps", step + 1, _TRIAL_STEPS)

    began = time.perf_counter()
    model, result = lead(workers, trial, [CallbackHook(note)])
    usual = statistics.median(times[1:])
    num_steps = math.floor(plan.seconds * _MARGIN / usual)
    plan = replace(
        plan,
        seconds_per_step=usual,
        compile_seconds=max(0.0, time.perf_counter() - began - sum(times[1:]) - usual) if result.compiled else 0.0,
        num_parameters=num_parameters(model),
    )
    must_pass(time_check(plan, num_steps))
    return replace(
        plan,
        train=replace(
            plan.train,
            num_steps=num_steps,
            eval_every=max(1, num_steps // 4),
            save_every=save_every(usual),
        ),
    )


def _refuse_what_memory_cannot_hold(run: PretrainRun) -> None:
    # Before the first step it is unknown whether the installed compiler works; uncompiled steps need more memory.
    compiled = run.plan.train.compile != "off" and find_compiler() is not None
    model = run.plan.model_config(Tokenizer.load(run.tokenizer))
    must_pass(memory_check(run.plan, model, run.objective().batches.batch(0), compiled=compiled))
