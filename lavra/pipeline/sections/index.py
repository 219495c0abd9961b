"""The section of the corpus index: its content, its search methods, and its answers."""

from __future__ import annotations

from typing import Final

from lavra.base.units import format_duration
from lavra.pipeline.index_encoders import CUTOFF, EncoderTrial
from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.skipped import skipped_section
from lavra.pipeline.stages.index import IndexResult, ShownAnswer
from lavra.report.section import Cell, Fact, Facts, Paragraph, SampleBlock, Section, Table

_TITLE: Final = "Questions answered from the documents"


def index_section(result: IndexResult | Skipped) -> Section:
    """Counts, the choice of the search methods, and three questions with answers and their sources."""
    if isinstance(result, Skipped):
        return skipped_section(_TITLE, result)
    return Section(
        title=_TITLE,
        summary=(
            f"{result.documents:,} documents are indexed. Of {result.asked} questions made of them, "
            f"{result.answered} were answered, {result.right_document} from the document they were made of."
        ),
        blocks=(
            Facts(
                items=(
                    Fact(label="Documents", value=f"{result.documents:,}", note=_skipped(result)),
                    Fact(label="Passages", value=f"{result.chunks:,}"),
                    Fact(label="Searched by", value="words and meaning" if result.encoder else "words"),
                )
            ),
            Paragraph(text=result.why),
            *([_trials(result)] if result.trials else []),
            *(_example(one) for one in result.examples),
            Paragraph(
                text='Ask your own: lavra ask "your question" answers in the terminal, and lavra serve --index NAME '
                "has a search page that shows each source in its document."
            ),
        ),
        seconds=result.seconds,
    )


def _skipped(result: IndexResult) -> str:
    if not result.skipped:
        return ""
    return "; ".join(f"{count:,} not indexed: {reason}" for reason, count in result.skipped.items())


def _trials(result: IndexResult) -> Table:
    return Table(
        columns=("searched by", "found", "texts a second", "time for all"),
        rows=(
            ("words alone", "" if result.words_found is None else f"{result.words_found:.1%}", "", ""),
            *(_row(trial) for trial in result.trials),
        ),
        caption=f"{result.pairs} held-out passages, found among the first {CUTOFF}; words and meaning fused by rank",
    )


def _row(trial: EncoderTrial) -> tuple[Cell, ...]:
    name = f"words and {trial.name}"
    if trial.issue:
        return (name, f"not tried: {trial.issue}", "", "")
    found = "no time" if trial.found is None else f"{trial.found:.1%}"
    if trial.first_tokens:
        name += f" (first {trial.first_tokens} tokens)"
    return (name, found, f"{trial.texts_per_second:,.0f}", format_duration(trial.seconds))


def _example(example: ShownAnswer) -> SampleBlock:
    return SampleBlock(
        prompt=example.question,
        completion=example.answer,
        note="; ".join(example.sources),
        completion_label="What the documents say",
    )
