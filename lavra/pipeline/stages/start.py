"""The stages that go on from a model that is there: its tokenizer, a plan for it, and its training.

They stand in the places of the stages that make a tokenizer, plan a fresh model and pretrain it, and leave the same
kinds of artifact, so that whatever comes after them need not know which model it got.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

import torch

from lavra.base.device import available_memory, bf16_pays, fingerprint, matrix_peak, pick_device
from lavra.base.errors import ConfigError
from lavra.base.ports import Hook, Progress
from lavra.base.units import format_duration, format_size
from lavra.model import Model, num_parameters
from lavra.pipeline.fit import to_text
from lavra.pipeline.lessons import Lessons
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import read_result
from lavra.pipeline.settings import StartMethod, UpConfig, planned_shares
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stages.planning import rows_of, step_tokens
from lavra.pipeline.stages.prepare import TokenizerFigures, TokenizerResult, open_tokens, try_out
from lavra.pipeline.stages.pretrain import HeldoutGlance, LossPoint, PretrainFigures, curve_of, glances_of
from lavra.pipeline.start import Start, start_method, whole_again
from lavra.pipeline.training import watch
from lavra.quantize import save_model
from lavra.runs.budget import LEAST_STEPS, save_every, seconds_a_step
from lavra.runs.run import METRICS_FILE, refuse_other_start, show_steps
from lavra.text import Corpus
from lavra.tokens import Tokenizer
from lavra.train import (
    JsonlHook,
    Objective,
    OptimizerConfig,
    ScheduleConfig,
    TensorBoardHook,
    TrainConfig,
    read_metrics,
    train,
)
from lavra.train.estimate import memory_limit, module_memory

# Of AdamW, for weights that were trained before (docs/log.md).
RATES: Final[Mapping[StartMethod, float]] = {"full": 1e-4, "lora": 1e-3}
STEP_TOKENS: Final = 1024
"""Tokens of a step where none are asked for: a run of minutes learns more from more steps."""

_NAMES: Final[Mapping[StartMethod, str]] = {"full": "training all of it", "lora": "training a LoRA"}
_DTYPES: Final = {"bf16": torch.bfloat16, "float32": torch.float32}
_MARGIN: Final = 0.75  # of the time: looks at held-out text, the optimizer and checkpoints take the rest
_WATCHING: Final = 0.15  # of the time, for all looks at held-out text together
_LOOKS: Final = 4  # before, after, and twice meanwhile
_FORWARD: Final = 3  # tokens are read so many times as fast as they are learnt from
_LEAST_WATCHED, _MOST_WATCHED = 256, 12_000  # tokens


@dataclass(frozen=True, kw_only=True)
class StartPlanFigures:
    """What the card says of the plan.

    Attributes:
        parameters: of the model.
        trained_parameters: of them, or of the LoRA.
        num_steps: of the run.
        method: what is trained, `full` or `lora`.
    """

    parameters: int
    trained_parameters: int
    num_steps: int
    method: str


@dataclass(frozen=True, kw_only=True)
class StartPlanResult(StartPlanFigures):
    """How the model is gone on with.

    Attributes:
        plan: the settings of the run.
        why: why this method.
        model: the model, as the user named it.
        watched: held-out tokens looked at before, during and after.
        budget: seconds for all training stages.
        shares: part of the budget of each training stage; those that have nothing to teach are not among them.
        notes: what little text changed, a sentence each.
    """

    plan: Plan
    why: str
    model: str
    watched: int
    budget: float
    shares: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ContinueFigures(PretrainFigures):
    """What the card says of the training.

    Attributes:
        before: score on a sample of held-out text, of the model as it was; None where there is too little of it.
        after: the same of the model that is saved.
        score: what is scored, such as `bits_per_byte`; less is better.
        method: what was trained, `full` or `lora`.
    """

    before: float | None
    after: float | None
    score: str
    method: str


@dataclass(frozen=True, kw_only=True)
class ContinueResult(ContinueFigures):
    """How the training went.

    Attributes:
        model: the model it began as, as the user named it.
        seconds_of_steps: of all steps together.
        curve: the loss of each step.
        glances: at the sample of held-out text meanwhile.
        watched: tokens of that sample.
    """

    model: str
    seconds_of_steps: float
    curve: tuple[LossPoint, ...]
    glances: tuple[HeldoutGlance, ...]
    watched: int


def given_tokenizer_stage(start: Start) -> Stage[TokenizerResult]:
    """The model's own tokenizer, tried out on the text."""

    def run(context: StageContext) -> TokenizerResult:
        tokenizer = start.tokenizer()
        tokenizer.save(context.folder)
        return try_out(tokenizer, Corpus.open(context.parents["corpus"]))

    return Stage(
        name="tokenizer",
        kind="tokenizer",
        folder="tokenizers",
        version=1,
        run=run,
        needs=("corpus",),
        config={"of": "a model that is there"},
        inputs={"start": start.fingerprint},
        result=TokenizerResult,
        figures=TokenizerFigures,
    )


def start_plan_stage(config: UpConfig, start: Start, progress: Progress) -> Stage[StartPlanResult]:
    """Fix what is trained, and for how many steps."""

    def run(context: StageContext) -> StartPlanResult:
        return _Planning(config, start, context, progress).result()

    return Stage(
        name="plan",
        kind="plan",
        folder="runs",
        version=1,
        run=run,
        needs=("tokenizer", "tokens", "instructions"),
        config={**config.plan_settings(), "start_method": config.start_method, "shares": planned_shares()},
        inputs={"start": start.fingerprint, "machine": repr(asdict(fingerprint(pick_device(), 1)))},
        result=StartPlanResult,
        figures=StartPlanFigures,
    )


class _Planning:
    """What a plan is made of."""

    def __init__(self, config: UpConfig, start: Start, context: StageContext, progress: Progress) -> None:
        self.config, self.start, self.context, self.progress = config, start, context, progress
        self.shares = Lessons.open(context.parents["instructions"]).shares(config.kind)
        self.seconds = config.budget * self.shares["pretrain"]
        self.notes: tuple[str, ...] = ()

    def result(self) -> StartPlanResult:
        """Choose the method by memory, time a few steps of it, and count how many fit."""
        model, plan, method, why = self._choose()
        objective = objective_of(plan, self.config, self.context)
        self.progress("time a few steps", 0, None)
        usual = seconds_a_step(model, objective, plan.train.precision, self.seconds / 4)
        num_steps = math.floor(self.seconds * _MARGIN / usual)
        if num_steps < LEAST_STEPS:
            raise ConfigError(
                f"{num_steps} steps of {usual:.2f}s fit into {format_duration(self.seconds)}, the training's share of "
                f"the budget, and {LEAST_STEPS} are the least; give more `budget`, a smaller `step_tokens` or "
                "`sequence_length`, or a smaller model"
            )
        settings = replace(plan.train, num_steps=num_steps, eval_every=-(-num_steps // 3), save_every=save_every(usual))
        plan = replace(plan, train=settings, seconds_per_step=usual, num_parameters=num_parameters(model))
        plan.save(self.context.folder)
        return StartPlanResult(
            parameters=plan.num_parameters,
            trained_parameters=sum(one.numel() for one in model.parameters() if one.requires_grad),
            num_steps=num_steps,
            method=method,
            plan=plan,
            why=why,
            model=self.start.name,
            watched=_watched(plan, self.seconds),
            budget=self.config.budget,
            shares=self.shares,
            notes=self.notes,
        )

    def _choose(self) -> tuple[Model, Plan, StartMethod, str]:
        """The model as it is to be trained: whole where memory holds that, else by a LoRA."""
        wanted: tuple[StartMethod, ...] = ("full", "lora")
        if self.config.start_method != "auto":
            wanted = (self.config.start_method,)
        refused = ""
        for method in wanted:
            model = self.start.open(method, self.config.seed)
            plan, self.notes = to_text(self._draft(method), self.config, rows_of(self.config, self.context))
            estimate = module_memory(model, objective_of(plan, self.config, self.context), plan.train)
            needed, available = estimate.total - estimate.weights, available_memory()  # the weights are there already
            said = f"{format_size(needed)} beside the weights, of {format_size(available)} available"
            if needed <= memory_limit(available):
                return model, plan, method, f"{refused}{_NAMES[method]} needs {said}"
            refused += f"{_NAMES[method]} would need {said}; "
            del model
        raise ConfigError(f"{refused}give a smaller model, or a smaller `sequence_length` or `step_tokens`")

    def _draft(self, method: StartMethod) -> Plan:
        config, shape, device = self.config, self.start.config, pick_device()
        precision: Literal["bf16", "float32"] = "bf16" if bf16_pays(device) else "float32"
        context = self.start.context(config.context)
        unit = context * config.accumulation
        return Plan(
            family=shape.family,
            hidden_size=shape.hidden_size,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            sequence_length=context,
            batch_size=step_tokens(config, STEP_TOKENS, unit) // unit,
            train=TrainConfig(
                num_steps=LEAST_STEPS,
                accumulation=config.accumulation,
                precision=precision,
                compile="off" if config.compile == "auto" else config.compile,  # it would eat a run of minutes
                optimizer=OptimizerConfig(
                    kind="adamw", learning_rate=config.learning_rate or RATES[method], weight_decay=0.0, beta2=0.99
                ),
                schedule=ScheduleConfig(kind="wsd", warmup=0.1, decay=0.9),
                activation_checkpointing=config.activation_checkpointing,
                seed=config.seed,
            ),
            seed=config.seed,
            peak_flops=matrix_peak(_DTYPES[precision], device),
            seconds=self.seconds,
        )


def _watched(plan: Plan, seconds: float) -> int:
    """Held-out tokens that can be scored in the time that is kept for it."""
    speed = plan.batch_size * plan.sequence_length * plan.train.accumulation / plan.seconds_per_step * _FORWARD
    return int(min(_MOST_WATCHED, max(_LEAST_WATCHED, seconds * _WATCHING / _LOOKS * speed)))


def continue_stage(
    config: UpConfig, start: Start, progress: Progress, *, allow_drift: bool = False
) -> Stage[ContinueResult]:
    """Go on from the model, as planned."""

    def run(context: StageContext) -> ContinueResult:
        planned = read_result(context.parents["plan"], {}, StartPlanResult, StartPlanFigures)
        assert isinstance(planned, StartPlanResult)
        return _go_on(config, start, context, planned, progress, allow_drift)

    return Stage(
        name="pretrain",
        kind="model",
        folder="models",
        version=1,
        run=run,
        needs=("tokenizer", "tokens", "plan"),
        config={**config.noise.to_plain(), "goes_on": True},
        inputs={"start": start.fingerprint},
        resumable=True,
        result=ContinueResult,
        figures=ContinueFigures,
    )


def _go_on(
    config: UpConfig,
    start: Start,
    context: StageContext,
    planned: StartPlanResult,
    progress: Progress,
    allow_drift: bool,
) -> ContinueResult:
    assert context.scratch is not None
    plan, method = planned.plan, start_method(planned.method)
    model = start.open(method, config.seed)
    refuse_other_start(context.scratch, model)
    tokenizer = Tokenizer.load(context.parents["tokenizer"])
    look = watch(model, open_tokens(context.parents["tokens"], "heldout"), tokenizer, plan, planned.watched)
    progress("score before", 0, None)
    score, before = next(iter(look().items())) if look else ("", None)
    metrics = context.scratch / METRICS_FILE
    hooks: list[Hook] = [JsonlHook(metrics), show_steps("go on training", plan.train.num_steps, progress)]
    if config.tensorboard is not None:
        hooks.append(TensorBoardHook(config.tensorboard))
    done = train(
        model,
        objective_of(plan, config, context),
        plan.train,
        folder=context.scratch,
        hooks=hooks,
        evaluate=look,
        allow_drift=allow_drift,
    )
    model.eval()
    save_model(whole_again(model, method), context.folder)
    tokenizer.save(context.folder)
    rows = read_metrics(metrics)
    return ContinueResult(
        steps=done.steps,
        tokens=done.tokens,
        compile_seconds=done.compile_seconds,
        before=before,
        after=done.evaluation.get(score),
        score=score,
        method=method,
        model=start.name,
        seconds_of_steps=sum(row["seconds"] for row in rows if "loss" in row),
        curve=curve_of(rows),
        glances=glances_of(rows),
        watched=planned.watched,
    )


def objective_of(plan: Plan, config: UpConfig, context: StageContext) -> Objective:
    """What is learnt from the training text."""
    tokenizer = Tokenizer.load(context.parents["tokenizer"])
    return make_objective(
        config.kind,
        open_tokens(context.parents["tokens"], "train"),
        tokenizer,
        batch_size=plan.batch_size,
        sequence_length=plan.sequence_length,
        seed=plan.seed,
        noise=config.noise,
    )
