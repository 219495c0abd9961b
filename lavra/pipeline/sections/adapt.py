"""The section of the adapt stage: answers to held-out questions, before and after teaching."""

from __future__ import annotations

from typing import Final

from lavra.pipeline.results import Skipped
from lavra.pipeline.samples.sample import NUM_CHOICES
from lavra.pipeline.sections.skipped import skipped_section
from lavra.pipeline.stages.adapt import AdaptResult
from lavra.pipeline.student_model import ExamScores
from lavra.report.section import Fact, Facts, Paragraph, SampleBlock, Section, SectionBlock, Table, Tone

_TITLE: Final = "Taught to answer"
_CAPTION: Final = "Nats a token of the true answers, fewer is better; a sample over the context is not among them"
_NAMES: Final = {
    "describe": "what a signature does",
    "signature": "the signature of a description",
    "complete": "a function's body",
    "choose": f"which of {NUM_CHOICES} is described",
    "continue": "how a passage goes on",
    "section": "the section under a heading",
    "paragraph": "the paragraph of a sentence",
    "cloze": f"which of {NUM_CHOICES} words is missing",
    "summary": "the central sentence of a paragraph",
}


def adapt_section(result: AdaptResult | Skipped) -> Section:
    """Nats of true answers by kind of question, and a few answers to read."""
    if isinstance(result, Skipped):
        return skipped_section(_TITLE, result)
    before, after = result.before, result.after
    return Section(
        title=_TITLE,
        summary=(
            f"{result.steps} steps of LoRA brought held-out answers from {before.mean:.3f} to "
            f"{after.mean:.3f} nats a token (mean of {len(after.nats)} kinds). {_verdict(result)}"
        ),
        blocks=(
            Facts(items=_facts(before, after)),
            Table(
                columns=("asked for", "held-out samples", "before", "after"),
                rows=tuple(
                    (_NAMES[kind], after.measured[kind], before.nats[kind], after.nats[kind]) for kind in after.nats
                ),
                caption=_CAPTION,
            ),
            Paragraph(text=_words(result), tone=Tone.NOTE),
            *_samples(result),
        ),
        seconds=result.seconds,
    )


def _verdict(result: AdaptResult) -> str:
    if result.is_better:
        return "The taught model scores better on held-out answers than the untaught one."
    return (
        "The taught model does not score better on held-out answers than the untaught one: use it without the adapter."
    )


def _facts(before: ExamScores, after: ExamScores) -> tuple[Fact, ...]:
    nats = Fact(
        label="Held-out answers",
        value=f"{after.mean:.3f}",
        unit="nats a token",
        note=f"{before.mean:.3f} before",
        tone=Tone.GOOD if after.mean < before.mean else Tone.WARNING,
    )
    if not after.asked:
        return (nats,)
    note = f"of {after.asked}; {before.share_chosen:.0%} before, {1 / NUM_CHOICES:.0%} by guessing among the offered"
    return nats, Fact(label="Chosen rightly", value=f"{after.share_chosen:.0%}", note=note)


def _words(result: AdaptResult) -> str:
    worse = [_NAMES[kind] for kind, nats in result.after.nats.items() if nats >= result.before.nats[kind]]
    text = (
        "Fewer nats say that true answers have become less of a surprise, not that what the model writes is true: a "
        "model of minutes learns the form of an answer long before its content, as the samples show."
    )
    if result.left_out:
        text += f" {result.left_out:,} samples over {result.room} tokens were left out of training."
    if result.after.asked and result.after.share_chosen <= 1 / NUM_CHOICES:
        text += f" It does not choose among {NUM_CHOICES} better than a guess would."
    return text + (f" Not better: {', '.join(worse)}." if worse else "")


def _samples(result: AdaptResult) -> tuple[SectionBlock, ...]:
    return tuple(
        SampleBlock(
            prompt=one.instruction,
            completion=one.after,
            reference=one.output,
            note=(
                f"greedy, at most {result.answer_tokens} tokens, from {one.source}; "
                f"before: {one.before.strip() or '(nothing)'}"
            ),
        )
        for one in result.answers
    )
