"""The stages that train an existing model: its tokenizer, a plan for it, and its training.

They replace the stages that make a tokenizer, plan a fresh model and pretrain it.
They leave the same kinds of artifact, so later stages need not know the origin of the model.
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
from lavra.model.build import Model
from lavra.model.transformer import num_parameters
from lavra.pipeline.fit import to_text
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
from lavra.pipeline.training_samples import TrainingSamples
from lavra.quantize.folder import save_model
from lavra.runs.budget import LEAST_STEPS, save_every, seconds_a_step
from lavra.runs.run import METRICS_FILE, refuse_other_start, show_steps
from lavra.text.corpus import Corpus
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.estimate import memory_limit, module_memory
from lavra.train.hooks import JsonlHook, TensorBoardHook, read_metrics
from lavra.train.loop import train
from lavra.train.objective import Objective
from lavra.train.schedule import ScheduleConfig

# Of AdamW, for weights that were trained before (docs/log.md).
RATES: Final[Mapping[StartMethod, float]] = {"full": 1e-4, "lora": 1e-3}
STEP_TOKENS: Final = 1024
"""Default number of tokens in a step: a run of minutes learns more from more steps."""

_NAMES: Final[Mapping[StartMethod, str]] = {"full": "training all of it", "lora": "training a LoRA"}
_DTYPES: Final = {"bf16": torch.bfloat16, "float32": torch.float32}
_MARGIN: Final = 0.75  # share of the time for training: measuring, the optimizer and checkpoints take the rest
_WATCHING: Final = 0.15  # share of the time for measuring on held-out text
_LOOKS: Final = 4  # before, after, and twice meanwhile
_FORWARD: Final = 3  # ratio of the speed of reading tokens to the speed of learning from them
_LEAST_WATCHED, _MOST_WATCHED = 256, 12_000  # tokens


@dataclass(frozen=True, kw_only=True)
class StartPlanFigures:
    """The plan's figures in the card.

    Attributes:
        parameters: parameters of the model.
        trained_parameters: trained parameters, of the model or of the LoRA.
        num_steps: steps of the run.
        method: the trained part, `full` or `lora`.
    """

    parameters: int
    trained_parameters: int
    num_steps: int
    method: str


@dataclass(frozen=True, kw_only=True)
class StartPlanResult(StartPlanFigures):
    """The result of the plan stage of an existing model.

    Attributes:
        plan: the settings of the run.
        why: the reason for this method.
        model: the model, as the user named it.
        watched: number of held-out tokens scored before, during and after.
        budget: seconds for all training stages.
        shares: share of the budget of each training stage; stages without samples are absent.
        notes: changes because of too little text, a sentence each.
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
    """The training's figures in the card.

    Attributes:
        before: score on a sample of held-out text, of the model before training; None where there is too little text.
        after: the same of the saved model.
        score: name of the score, such as `bits_per_byte`; less is better.
        method: the trained part, `full` or `lora`.
    """

    before: float | None
    after: float | None
    score: str
    method: str


@dataclass(frozen=True, kw_only=True)
class ContinueResult(ContinueFigures):
    """The result of the training of an existing model.

    Attributes:
        model: the original model, as the user named it.
        seconds_of_steps: time of all steps together.
        curve: the loss of each step.
        glances: scores of the sample of held-out text during training.
        watched: number of tokens in that sample.
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
        config={"of": "an existing model"},
        inputs={"start": start.fingerprint},
        result=TokenizerResult,
        figures=TokenizerFigures,
    )


def start_plan_stage(config: UpConfig, start: Start, progress: Progress) -> Stage[StartPlanResult]:
    """The stage that fixes the trained part and the number of steps."""

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
    """The inputs of a plan."""

    def __init__(self, config: UpConfig, start: Start, context: StageContext, progress: Progress) -> None:
        self.config, self.start, self.context, self.progress = config, start, context, progress
        self.shares = TrainingSamples.open(context.parents["instructions"]).shares(config.kind)
        self.seconds = config.budget * self.shares["pretrain"]
        self.notes: tuple[str, ...] = ()

    def result(self) -> StartPlanResult:
        """Choose the method by memory, time a few steps of it, and compute the number of steps that fit."""
        model, plan, method, why = self._choose()
        objective = objective_of(plan, self.config, self.context)
        self.progress("time a few steps", 0, None)
        usual = seconds_a_step(model, objective, plan.train.precision, self.seconds / 4)
        num_steps = math.floor(self.seconds * _MARGIN / usual)
        if num_steps < LEAST_STEPS:
            least = math.ceil(LEAST_STEPS * usual / _MARGIN / self.shares["pretrain"])
            raise ConfigError(
                f"training needs at least {LEAST_STEPS} steps of {usual:.2f}s, and its share of the budget is "
                f"{format_duration(self.seconds)}; give a `budget` of {format_duration(least)} or more, a smaller "
                "`step_tokens` or `sequence_length`, or a smaller model"
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
        """Open the model with its plan and the method: train all of it where memory allows that, else a LoRA."""
        wanted: tuple[StartMethod, ...] = ("full", "lora")
        if self.config.start_method != "auto":
            wanted = (self.config.start_method,)
        refused = ""
        for method in wanted:
            model = self.start.open(method, self.config.seed)
            plan, self.notes = to_text(self._draft(method), self.config, rows_of(self.config, self.context))
            estimate = module_memory(model, objective_of(plan, self.config, self.context), plan.train)
            needed, available = estimate.total - estimate.weights, available_memory()  # the weights are there already
            needs = f"{format_size(needed)} beside the weights, of {format_size(available)} available"
            if needed <= memory_limit(available):
                return model, plan, method, f"{refused}{_NAMES[method]} needs {needs}"
            refused += f"{_NAMES[method]} would need {needs}; "
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
    """The number of held-out tokens that can be scored in the time reserved for it."""
    speed = plan.batch_size * plan.sequence_length * plan.train.accumulation / plan.seconds_per_step * _FORWARD
    return int(min(_MOST_WATCHED, max(_LEAST_WATCHED, seconds * _WATCHING / _LOOKS * speed)))


def continue_stage(
    config: UpConfig, start: Start, progress: Progress, *, allow_drift: bool = False
) -> Stage[ContinueResult]:
    """The stage that trains the existing model, as planned."""

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
    """The training objective on the training text."""
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
