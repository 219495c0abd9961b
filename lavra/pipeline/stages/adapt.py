"""The adapt stage: the model is taught to answer, by LoRA, with instructions made of its own training text.

LoRA (Hu et al. 2021, arXiv:2106.09685) through the recipe of `lavra finetune`: a decoder learns conversations, an
encoder-decoder one text made of another, an encoder writes nothing and skips the stage.  The stage's share of the
budget says how many steps there are: opening the model, marks and answers before and after are paid from it as well.

The artifact is a PEFT folder with the tokenizer, whose chat template is the one it was taught with.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.ports import Progress
from lavra.base.tasks import Task
from lavra.model.config import Kind
from lavra.pipeline.allowance import Allowance, Chosen, fixed, no_time
from lavra.pipeline.instructions import KINDS, Instruction
from lavra.pipeline.lessons import Lessons
from lavra.pipeline.plan import Plan
from lavra.pipeline.pupil import ANSWER_TOKENS, Marks, Pupil
from lavra.pipeline.results import Skipped
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.runs.finetune import training_settings
from lavra.tasks.learning.recipe import Lesson
from lavra.tasks.learning.settings import FinetuneConfig, Method
from lavra.train import CallbackHook, TrainResult, train

_BATCH: Final = 16  # samples a step: a short run learns more from more steps
_RANK: Final = 16
# A small model's LoRA wants a higher rate than the usual one, which is for widths of many hundreds (docs/log.md).
_HIGHEST_RATE: Final = 5e-3
_RATE_TIMES_WIDTH: Final = 0.5
_MOST_MARKED: Final = 200  # held-out samples of a kind
_LEAST_MARKED: Final = 8
_MARKED_A_STEP: Final = 4  # of a kind are marked in about the time of a step
_SECONDS_BETWEEN_SAVES: Final = 30.0


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


def adapt_stage(config: UpConfig, progress: Progress) -> Stage[AdaptResult | Skipped]:
    """Teach the model to answer, within the stage's share of the budget."""
    seconds = config.budget * SHARES["adapt"]

    def run(context: StageContext) -> AdaptResult | Skipped:
        allowance, lessons = Allowance(seconds), Lessons.open(context.parents["instructions"])
        why = "an encoder writes no answers" if config.kind is Kind.ENCODER else lessons.no_instructions
        return Skipped(why=why) if why else _teach(context, config, allowance, lessons, progress)

    return Stage(
        name="adapt",
        kind="adapter",
        folder="models",
        version=1,
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
    assert context.scratch is not None
    plan = Plan.load(context.parents["plan"])
    pupil, rows = Pupil(context.parents["pretrain"], _settings(config, plan, lessons)), lessons.instructions("train")
    trial = pupil.lesson(rows[: 4 * _BATCH])

    def choose() -> Chosen:
        module, precision = pupil.recipe.module(), plan.train.precision
        return allowance.choose(
            module, trial.objective, precision, a_step=_MARKED_A_STEP, least=_LEAST_MARKED, most=_MOST_MARKED
        )

    chosen = fixed(context.scratch, choose)
    steps = chosen.steps
    if not steps:
        return Skipped(why=no_time(allowance))
    progress("score before", 0, None)
    marked = _marked(lessons.instructions("heldout"), chosen.measured)
    shown = _spread(pupil.fitting(marked, ANSWER_TOKENS), config.num_samples)
    before, answers = pupil.marks(marked), pupil.answer(shown)
    lesson = pupil.lesson(rows[: steps * _BATCH])
    trained = _train(pupil, lesson, steps, context.scratch, allowance.seconds, progress)
    progress("score after", 0, None)
    after = pupil.marks(marked)
    pupil.save(context.folder)
    both = tuple(
        BeforeAndAfter(instruction=one.instruction, output=one.output, source=one.source, before=was, after=now)
        for one, was, now in zip(shown, answers, pupil.answer(shown), strict=True)
    )
    result = _result(before, after, lesson, trained, answers=both, room=pupil.room)
    shutil.rmtree(context.scratch / "checkpoints", ignore_errors=True)
    return result


def _settings(config: UpConfig, plan: Plan, lessons: Lessons) -> FinetuneConfig:
    return FinetuneConfig(
        task=Task.TEXT2TEXT if config.kind is Kind.ENCODER_DECODER else Task.CHAT,
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


def _train(pupil: Pupil, lesson: Lesson, steps: int, scratch: Path, seconds: float, progress: Progress) -> TrainResult:
    def show(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            progress("teach answers", step + 1, steps, f"loss {metrics['loss']:.3f}")

    saves = max(1, round(steps * _SECONDS_BETWEEN_SAVES / max(seconds, 1e-9)))
    settings = training_settings(pupil.with_steps(steps, save_every=saves), lesson)
    result = train(pupil.recipe.module(), lesson.objective, settings, folder=scratch, hooks=[CallbackHook(show)])
    pupil.recipe.module().eval()
    return result


def _result(
    before: Marks,
    after: Marks,
    lesson: Lesson,
    trained: TrainResult,
    *,
    answers: tuple[BeforeAndAfter, ...],
    room: int,
) -> AdaptResult:
    return AdaptResult(
        nats_before=before.nats,
        nats_after=after.nats,
        chosen_before=before.share_chosen,
        chosen_after=after.share_chosen,
        measured=after.measured,
        steps=trained.steps,
        left_out=sum(trouble.dropped for trouble in lesson.troubles),
        before=before,
        after=after,
        room=room,
        answer_tokens=ANSWER_TOKENS,
        answers=answers,
        seconds=trained.seconds,
    )
