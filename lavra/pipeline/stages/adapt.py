"""The adapt stage: LoRA teaches the model to answer, with instructions made from its own training text.

LoRA (Hu et al. 2021, arXiv:2106.09685) through the recipe of `lavra finetune`: a decoder learns conversations, an
encoder-decoder one text made of another, an encoder writes nothing and skips the stage.
The stage's share of the budget decides the number of steps; it also pays for opening the
model, and for marks and answers before and after.

The artifact is a PEFT folder with the tokenizer, which holds the chat template of the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from lavra.adapt.methods.lora import LoraConfig
from lavra.base.ports import Progress
from lavra.model.config import Kind
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import Skipped
from lavra.pipeline.samples.sample import KINDS, Instruction
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stage_folder import StageFolder, or_skipped
from lavra.pipeline.student_model import ANSWER_TOKENS, ExamScores, StudentModel
from lavra.pipeline.training_samples import TrainingSamples
from lavra.runs.budget import LEAST_STEPS, Allowance, fixed, no_time
from lavra.runs.prepared import training_settings
from lavra.runs.run import Artifact, Run, RunOutcome, carry_out
from lavra.tasks.chat import CHAT
from lavra.tasks.learning.recipe import TrainingTask
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.rewrite import REWRITE

_BATCH: Final = 16  # samples a step: a short run learns more from more steps
_RANK: Final = 16
# A small model's LoRA needs a higher rate than usual: the usual rate is for widths of many hundreds (docs/log.md).
_HIGHEST_RATE: Final = 5e-3
_RATE_TIMES_WIDTH: Final = 0.5
_MOST_MARKED: Final = 200  # held-out samples of a kind
_LEAST_MARKED: Final = 8
_MARKED_A_STEP: Final = 16  # samples are marked in about the time of a step
_MOST_EPOCHS: Final = 8  # in more epochs a model learns few samples by heart


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The marks of a model on held-out instructions, and its answers to a few of them.

    Attributes:
        marks: marks on the instructions to measure.
        answers: answers to the shown instructions, in their order.
    """

    marks: ExamScores
    answers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class AdaptFigures:
    """The adapter's figures in the card.

    Attributes:
        nats_before: by kind of instruction, nats a token of the true answers, of the model before teaching.
        nats_after: the same with the adapter.
        chosen_before: share of right choices in multiple-choice questions, before teaching; 0 where there are none.
        chosen_after: the same with the adapter.
        measured: by kind, number of held-out samples measured.
        steps: steps of training.
        left_out: training samples that do not fit the context.
    """

    nats_before: Mapping[str, float]
    nats_after: Mapping[str, float]
    chosen_before: float
    chosen_after: float
    measured: Mapping[str, int]
    steps: int
    left_out: int


@dataclass(frozen=True, kw_only=True)
class BeforeAndAfter:
    """A held-out question, with the model's answers before teaching and with the adapter.

    Attributes:
        instruction: the question.
        output: the true answer.
        source: document and line of both.
        before: answer of the model before teaching.
        after: answer with the adapter.
    """

    instruction: str
    output: str
    source: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class AdaptResult(AdaptFigures):
    """The result of the adapt stage.

    Attributes:
        before: marks of the model before teaching.
        after: marks with the adapter.
        room: length of the context in tokens.
        answer_tokens: largest number of tokens in a shown answer.
        answers: a few questions, answered before and after.
        seconds: time of training.
    """

    before: ExamScores
    after: ExamScores
    room: int
    answer_tokens: int
    answers: tuple[BeforeAndAfter, ...]
    seconds: float

    @property
    def is_better(self) -> bool:
        """Whether true answers to held-out questions cost fewer nats with the adapter than without."""
        return self.after.mean < self.before.mean


def adapt_stage(config: UpConfig, progress: Progress) -> Stage[AdaptResult | Skipped]:
    """Teach the model to answer, within the stage's share of the budget."""
    seconds = config.budget * SHARES["adapt"]

    def run(context: StageContext) -> AdaptResult | Skipped:
        allowance, training_samples = Allowance(seconds), TrainingSamples.open(context.parents["instructions"])
        why = "an encoder writes no answers" if config.kind is Kind.ENCODER else training_samples.no_instructions
        if why:
            return Skipped(why=why)
        return or_skipped(lambda: _teach(context, config, allowance, training_samples, progress))

    return Stage(
        name="adapt",
        kind="adapter",
        folder="models",
        version=2,
        run=run,
        needs=("instructions", "plan", "pretrain"),
        config={"seconds": seconds, "seed": config.seed, "num_samples": config.num_samples},
        resumable=True,
        result=AdaptResult,
        figures=AdaptFigures,
    )


def _teach(
    context: StageContext, config: UpConfig, allowance: Allowance, training_samples: TrainingSamples, progress: Progress
) -> AdaptResult | Skipped:
    """Teach, measure and save, where the time allows it."""
    folder, plan = StageFolder(context), Plan.load(context.parents["plan"])
    student, rows = (
        StudentModel(context.parents["pretrain"], _settings(config, plan, training_samples)),
        training_samples.instructions("train"),
    )
    heldout = training_samples.instructions("heldout")
    if not student.has_fitting(rows[: 4 * _BATCH]) or not student.has_fitting(_marked(heldout, _LEAST_MARKED)):
        return Skipped(why=f"no sample fits into {student.max_length} tokens; give a longer `sequence_length`")
    choose = partial(
        allowance.choose,
        student.recipe.module(),
        student.training_task(rows[: 4 * _BATCH]).objective,
        plan.train.precision,
        a_step=max(1, _MARKED_A_STEP // len({one.kind for one in heldout})),
        least=_LEAST_MARKED,
        most=_MOST_MARKED,
    )
    chosen = fixed(folder.scratch, choose)
    if not chosen.steps:
        return Skipped(why=no_time(allowance), again=True)
    marked = _marked(heldout, chosen.measured)
    shown = _spread(student.fitting(marked, ANSWER_TOKENS), config.num_samples)
    run = _run(student, rows, _steps(chosen.steps, len(rows)), allowance, marked, shown)
    return _result(student, run.training_task, carry_out(run, folder, progress), shown)


def _steps(chosen: int, num_samples: int) -> int:
    """The number of steps that the time allows, up to the number of useful epochs."""
    return min(chosen, max(LEAST_STEPS, _MOST_EPOCHS * num_samples // _BATCH))


def _settings(config: UpConfig, plan: Plan, training_samples: TrainingSamples) -> FinetuneConfig:
    return FinetuneConfig(
        task=REWRITE if config.kind is Kind.ENCODER_DECODER else CHAT,
        data=training_samples.folder / "instructions-train.jsonl",
        method=LoraConfig(rank=_RANK),
        learning_rate=min(_HIGHEST_RATE, _RATE_TIMES_WIDTH / plan.hidden_size),
        batch_size=_BATCH,
        max_tokens=plan.sequence_length,
        on_long="drop",
        precision=plan.train.precision,
        seed=config.seed,
    )


def _marked(rows: Sequence[Instruction], count: int) -> list[Instruction]:
    """The held-out samples to measure: `count` of each kind."""
    return [one for kind in KINDS for one in [row for row in rows if row.kind == kind][:count]]


def _spread(rows: Sequence[Instruction], count: int) -> list[Instruction]:
    """A few held-out samples, of every kind in turn."""
    by_kind = [[one for one in rows if one.kind == kind] for kind in KINDS]
    turns = (kind[turn] for turn in range(len(rows)) for kind in by_kind if turn < len(kind))
    return [one for one, _ in zip(turns, range(count), strict=False)]


def _run(
    student: StudentModel,
    rows: Sequence[Instruction],
    steps: int,
    allowance: Allowance,
    marked: Sequence[Instruction],
    shown: Sequence[Instruction],
) -> Run[Examination, Examination]:
    def examine() -> Examination:
        return Examination(marks=student.marks(marked), answers=student.answer(shown))

    training_task = student.training_task(rows[: steps * _BATCH])
    settings = student.with_steps(steps, save_every=allowance.save_every(steps))
    return Run(
        recipe=student.recipe,
        training_task=training_task,
        train=training_settings(settings, training_task),
        before=examine,
        after=examine,
        artifact=lambda _: Artifact(kind="adapter", write=student.save),
        part="teach answers",
    )


def _result(
    student: StudentModel,
    training_task: TrainingTask,
    done: RunOutcome[Examination, Examination],
    shown: Sequence[Instruction],
) -> AdaptResult:
    before, after = done.before.marks, done.after.marks
    answers = zip(shown, done.before.answers, done.after.answers, strict=True)
    return AdaptResult(
        nats_before=before.nats,
        nats_after=after.nats,
        chosen_before=before.share_chosen,
        chosen_after=after.share_chosen,
        measured=after.measured,
        steps=done.train.steps,
        left_out=sum(issue.dropped for issue in training_task.issues),
        before=before,
        after=after,
        room=student.max_length,
        answer_tokens=ANSWER_TOKENS,
        answers=tuple(
            BeforeAndAfter(instruction=one.instruction, output=one.output, source=one.source, before=was, after=now)
            for one, was, now in answers
        ),
        seconds=done.train.seconds,
    )
