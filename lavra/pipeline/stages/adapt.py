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
from lavra.pipeline.instructions import KINDS, NUM_CHOICES, Instruction
from lavra.pipeline.plan import Plan
from lavra.pipeline.pupil import ANSWER_TOKENS, Marks, Pupil
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.teaching import Lessons, skipped_section
from lavra.report import Block, Fact, Facts, Paragraph, SampleBlock, Section, Table, Tone
from lavra.runs.budget import Allowance, Chosen, fixed, no_time
from lavra.runs.prepared import training_settings
from lavra.tasks.learning.recipe import Lesson
from lavra.tasks.learning.settings import FinetuneConfig, Method
from lavra.train import CallbackHook, TrainResult, train

TITLE: Final = "Taught to answer"
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
class _Taught:
    """What the stage has to tell.

    Attributes:
        before: marks of the model as it was.
        after: with the adapter.
        answers: a few questions, answered before and after.
        result: of the training.
        lesson: what was learnt.
    """

    before: Marks
    after: Marks
    answers: Sequence[tuple[Instruction, str, str]]
    result: TrainResult
    lesson: Lesson


def adapt_stage(config: UpConfig, progress: Progress) -> Stage:
    """Teach the model to answer, within the stage's share of the budget."""
    seconds = config.budget * SHARES["adapt"]

    def run(context: StageContext) -> None:
        allowance, lessons = Allowance(seconds), Lessons.open(context.parents["instructions"])
        why = "an encoder writes no answers" if config.kind is Kind.ENCODER else lessons.no_instructions
        if not why:
            why = _teach(context, config, allowance, lessons, progress)
        if why:
            context.metrics["skipped"] = why
            context.section = skipped_section(TITLE, why)

    return Stage(
        name="adapt",
        kind="adapter",
        folder="models",
        version=1,
        run=run,
        needs=("instructions", "plan", "pretrain"),
        config={"seconds": seconds, "seed": config.seed, "num_samples": config.num_samples},
        resumable=True,
    )


def _teach(context: StageContext, config: UpConfig, allowance: Allowance, lessons: Lessons, progress: Progress) -> str:
    """Teach, measure and save; or why there was no time for it."""
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
        return no_time(allowance)
    progress("score before", 0, None)
    marked = _marked(lessons.instructions("heldout"), chosen.measured)
    shown = _spread(pupil.fitting(marked, ANSWER_TOKENS), config.num_samples)
    before, answers = pupil.marks(marked), pupil.answer(shown)
    lesson = pupil.lesson(rows[: steps * _BATCH])
    result = _train(pupil, lesson, steps, context.scratch, allowance.seconds, progress)
    progress("score after", 0, None)
    after = pupil.marks(marked)
    pupil.save(context.folder)
    both = tuple(zip(shown, answers, pupil.answer(shown), strict=True))
    taught = _Taught(before=before, after=after, answers=both, result=result, lesson=lesson)
    context.metrics.update(_metrics(taught))
    context.section = _section(taught, pupil)
    shutil.rmtree(context.scratch / "checkpoints", ignore_errors=True)
    return ""


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


def _metrics(taught: _Taught) -> dict[str, object]:
    return {
        "nats_before": dict(taught.before.nats),
        "nats_after": dict(taught.after.nats),
        "chosen_before": taught.before.share_chosen,
        "chosen_after": taught.after.share_chosen,
        "measured": dict(taught.after.measured),
        "steps": taught.result.steps,
        "left_out": sum(trouble.dropped for trouble in taught.lesson.troubles),
    }


def _section(taught: _Taught, pupil: Pupil) -> Section:
    before, after = taught.before, taught.after
    blocks: list[Block] = [
        Facts(items=_facts(taught)),
        Table(
            columns=("asked for", "held-out samples", "before", "after"),
            rows=tuple(
                (_NAMES[kind], after.measured[kind], before.nats[kind], after.nats[kind]) for kind in after.nats
            ),
            caption="Nats a token of the true answers, fewer is better; a sample over the context is not among them",
        ),
        Paragraph(text=_words(taught, pupil.room), tone=Tone.NOTE),
    ]
    for one, was, now in taught.answers:
        note = f"greedy, at most {ANSWER_TOKENS} tokens, from {one.source}; before: {was.strip() or '(nothing)'}"
        blocks.append(SampleBlock(prompt=one.instruction, completion=now, reference=one.output, note=note))
    return Section(
        title=TITLE,
        summary=(
            f"{taught.result.steps} steps of LoRA brought held-out answers from {before.mean:.3f} to "
            f"{after.mean:.3f} nats a token (mean of {len(after.nats)} kinds)."
        ),
        blocks=tuple(blocks),
        seconds=taught.result.seconds,
    )


def _facts(taught: _Taught) -> tuple[Fact, ...]:
    before, after = taught.before, taught.after
    better = after.mean < before.mean
    nats = Fact(
        label="Held-out answers",
        value=f"{after.mean:.3f}",
        unit="nats a token",
        note=f"{before.mean:.3f} before",
        tone=Tone.GOOD if better else Tone.WARNING,
    )
    if not after.asked:
        return (nats,)
    note = f"of {after.asked}; {before.share_chosen:.0%} before, {1 / NUM_CHOICES:.0%} by guessing among the offered"
    return nats, Fact(label="Names chosen rightly", value=f"{after.share_chosen:.0%}", note=note)


def _words(taught: _Taught, room: int) -> str:
    worse = [_NAMES[kind] for kind, nats in taught.after.nats.items() if nats >= taught.before.nats[kind]]
    dropped = sum(trouble.dropped for trouble in taught.lesson.troubles)
    told = (
        "Fewer nats say that true answers have become less of a surprise, not that what the model writes is true: a "
        "model of minutes learns the form of an answer long before its content, as the samples show."
    )
    left_out = f" {dropped:,} samples over {room} tokens were left out of training." if dropped else ""
    return told + left_out + (f" Not better: {', '.join(worse)}." if worse else "")


_NAMES: Final = {
    "describe": "what a signature does",
    "signature": "the signature of a description",
    "complete": "a function's body",
    "choose": f"which of {NUM_CHOICES} is described",
}
