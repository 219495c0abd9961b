"""The adapt stage: the model is taught to answer, by LoRA, with instructions made of its own training text.

LoRA (Hu et al. 2021, arXiv:2106.09685) through the recipe of `lavra finetune`: a decoder learns conversations, an
encoder-decoder one text made of another, an encoder writes nothing and skips the stage.  The stage's share of the
budget says how many steps there are: opening the model, marks and answers before and after are paid from it as well.

The artifact is a PEFT folder with the tokenizer, whose chat template is the one it was taught with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from lavra.base.ports import Progress
from lavra.model.config import Kind
from lavra.pipeline.lessons import Lessons
from lavra.pipeline.plan import Plan
from lavra.pipeline.pupil import ANSWER_TOKENS, Marks, Pupil
from lavra.pipeline.results import Skipped
from lavra.pipeline.samples.sample import KINDS, Instruction
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stage_folder import StageFolder, or_skipped
from lavra.runs.budget import LEAST_STEPS, Allowance, fixed, no_time
from lavra.runs.prepared import training_settings
from lavra.runs.run import Artifact, Run, RunOutcome, carry_out
from lavra.tasks.chat import CHAT
from lavra.tasks.learning.recipe import Lesson
from lavra.tasks.learning.settings import FinetuneConfig, Method
from lavra.tasks.rewrite import REWRITE

_BATCH: Final = 16  # samples a step: a short run learns more from more steps
_RANK: Final = 16
# A small model's LoRA wants a higher rate than the usual one, which is for widths of many hundreds (docs/log.md).
_HIGHEST_RATE: Final = 5e-3
_RATE_TIMES_WIDTH: Final = 0.5
_MOST_MARKED: Final = 200  # held-out samples of a kind
_LEAST_MARKED: Final = 8
_MARKED_A_STEP: Final = 16  # samples are marked in about the time of a step
_MOST_EPOCHS: Final = 8  # of few samples more are learnt by heart


@dataclass(frozen=True, kw_only=True)
class Examination:
    """How a model does on held-out instructions, and what it answers to a few of them.

    Attributes:
        marks: on those to measure on.
        answers: to those shown, in their order.
    """

    marks: Marks
    answers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class AdaptFigures:
    """What the card says of the adapter.

    Attributes:
        nats_before: by kind of instruction, nats a token of the true answers, of the model as it was.
        nats_after: the same with the adapter.
        chosen_before: share of the names asked for that were chosen rightly; 0 where none were asked for.
        chosen_after: the same with the adapter.
        measured: by kind, held-out samples measured on.
        steps: of training.
        left_out: training samples over the context.
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
    """A held-out question, answered by the model as it was and with the adapter.

    Attributes:
        instruction: the question.
        output: the true answer.
        source: where both are from: document and line.
        before: answer of the model as it was.
        after: answer with the adapter.
    """

    instruction: str
    output: str
    source: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class AdaptResult(AdaptFigures):
    """What the stage found out.

    Attributes:
        before: marks of the model as it was.
        after: marks with the adapter.
        room: tokens of the context.
        answer_tokens: an answer shown has at most as many.
        answers: a few questions, answered before and after.
        seconds: of training.
    """

    before: Marks
    after: Marks
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
        allowance, lessons = Allowance(seconds), Lessons.open(context.parents["instructions"])
        why = "an encoder writes no answers" if config.kind is Kind.ENCODER else lessons.no_instructions
        if why:
            return Skipped(why=why)
        return or_skipped(lambda: _teach(context, config, allowance, lessons, progress))

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
    context: StageContext, config: UpConfig, allowance: Allowance, lessons: Lessons, progress: Progress
) -> AdaptResult | Skipped:
    """Teach, measure and save, where there is time for it."""
    folder, plan = StageFolder(context), Plan.load(context.parents["plan"])
    pupil, rows = Pupil(context.parents["pretrain"], _settings(config, plan, lessons)), lessons.instructions("train")
    heldout = lessons.instructions("heldout")
    if not pupil.has_room(rows[: 4 * _BATCH]) or not pupil.has_room(_marked(heldout, _LEAST_MARKED)):
        return Skipped(why=f"no sample fits into {pupil.room} tokens; give a longer `sequence_length`")
    choose = partial(
        allowance.choose,
        pupil.recipe.module(),
        pupil.lesson(rows[: 4 * _BATCH]).objective,
        plan.train.precision,
        a_step=max(1, _MARKED_A_STEP // len({one.kind for one in heldout})),
        least=_LEAST_MARKED,
        most=_MOST_MARKED,
    )
    chosen = fixed(folder.scratch, choose)
    if not chosen.steps:
        return Skipped(why=no_time(allowance), again=True)
    marked = _marked(heldout, chosen.measured)
    shown = _spread(pupil.fitting(marked, ANSWER_TOKENS), config.num_samples)
    run = _run(pupil, rows, _steps(chosen.steps, len(rows)), allowance, marked, shown)
    return _result(pupil, run.lesson, carry_out(run, folder, progress), shown)


def _steps(chosen: int, num_samples: int) -> int:
    """As many as there is time for, but no more epochs than teach."""
    return min(chosen, max(LEAST_STEPS, _MOST_EPOCHS * num_samples // _BATCH))


def _settings(config: UpConfig, plan: Plan, lessons: Lessons) -> FinetuneConfig:
    return FinetuneConfig(
        task=REWRITE if config.kind is Kind.ENCODER_DECODER else CHAT,
        data=lessons.folder / "instructions-train.jsonl",
        method=Method.LORA,
        rank=_RANK,
        learning_rate=min(_HIGHEST_RATE, _RATE_TIMES_WIDTH / plan.hidden_size),
        batch_size=_BATCH,
        max_tokens=plan.sequence_length,
        on_long="drop",
        precision=plan.train.precision,
        seed=config.seed,
    )


def _marked(rows: Sequence[Instruction], count: int) -> list[Instruction]:
    """The held-out samples to measure on: so many of each kind."""
    return [one for kind in KINDS for one in [row for row in rows if row.kind == kind][:count]]


def _spread(rows: Sequence[Instruction], count: int) -> list[Instruction]:
    """A few, of every kind in turn."""
    by_kind = [[one for one in rows if one.kind == kind] for kind in KINDS]
    turns = (kind[turn] for turn in range(len(rows)) for kind in by_kind if turn < len(kind))
    return [one for one, _ in zip(turns, range(count), strict=False)]


def _run(
    pupil: Pupil,
    rows: Sequence[Instruction],
    steps: int,
    allowance: Allowance,
    marked: Sequence[Instruction],
    shown: Sequence[Instruction],
) -> Run[Examination, Examination]:
    def examine() -> Examination:
        return Examination(marks=pupil.marks(marked), answers=pupil.answer(shown))

    lesson = pupil.lesson(rows[: steps * _BATCH])
    settings = pupil.with_steps(steps, save_every=allowance.save_every(steps))
    return Run(
        recipe=pupil.recipe,
        lesson=lesson,
        train=training_settings(settings, lesson),
        before=examine,
        after=examine,
        artifact=lambda _: Artifact(kind="adapter", write=pupil.save),
        part="teach answers",
    )


def _result(
    pupil: Pupil, lesson: Lesson, done: RunOutcome[Examination, Examination], shown: Sequence[Instruction]
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
        left_out=sum(trouble.dropped for trouble in lesson.troubles),
        before=before,
        after=after,
        room=pupil.room,
        answer_tokens=ANSWER_TOKENS,
        answers=tuple(
            BeforeAndAfter(instruction=one.instruction, output=one.output, source=one.source, before=was, after=now)
            for one, was, now in answers
        ),
        seconds=done.train.seconds,
    )
