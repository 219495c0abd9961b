"""How much text there is, how much of it is held out, and what happened to it on the way."""

from __future__ import annotations

from lavra.base.units import format_size
from lavra.pipeline.stages.prepare import CorpusResult, SplitSize
from lavra.report import Fact, Facts, Section, Table


def corpus_section(result: CorpusResult) -> Section:
    """Both sides of the split, and the account from files to corpus."""
    training, heldout = result.training, result.heldout
    return Section(
        title="Text",
        summary=(
            f"{format_size(training.bytes + heldout.bytes)} of clean text in "
            f"{training.documents + heldout.documents:,} documents; "
            f"{format_size(heldout.bytes)} of it held out and never trained on."
        ),
        blocks=(
            Facts(items=(_fact("Trained on", training), _fact("Held out", heldout))),
            Table(
                columns=("what happened to the text", ""),
                rows=result.rows,
                caption="From files to corpus",
            ),
        ),
    )


def _fact(label: str, split: SplitSize) -> Fact:
    return Fact(label=label, value=format_size(split.bytes), note=f"{split.documents:,} documents")
