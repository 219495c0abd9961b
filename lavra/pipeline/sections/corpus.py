"""The section of the corpus: its size, its held-out share, and the changes to it on the way."""

from __future__ import annotations

from lavra.base.units import format_size
from lavra.pipeline.stages.prepare import CorpusFiles, CorpusResult, SplitSize
from lavra.report.section import Cell, Fact, Facts, Paragraph, Section, Table, Tone


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
            Paragraph(text=f"The split: {result.split}.", tone=Tone.NOTE),
            *_file_tables(result.files),
            Table(
                columns=("what happened to the text", ""),
                rows=result.rows,
                caption="From files to corpus",
            ),
        ),
    )


def _fact(label: str, split: SplitSize) -> Fact:
    return Fact(label=label, value=format_size(split.bytes), note=f"{split.documents:,} documents")


def _file_tables(files: CorpusFiles) -> tuple[Table, ...]:
    used: list[tuple[Cell, ...]] = [(file.name, file.documents, format_size(file.bytes)) for file in files.used]
    unused: list[tuple[Cell, ...]] = [(file.name, file.reason, file.detail) for file in files.unused]
    tables = (
        (("used", "documents", "size"), used, files.num_used),
        (("not used", "why", "particulars"), unused, files.num_unused),
    )
    return tuple(
        Table(columns=columns, rows=_cut(rows, number), caption=f"{number:,} files {columns[0]}")
        for columns, rows, number in tables
        if rows
    )


def _cut(rows: list[tuple[Cell, ...]], number: int) -> tuple[tuple[Cell, ...], ...]:
    """The first rows, and a last row with the number of the others."""
    more = number - len(rows)
    return (*rows, (f"and {more:,} more", "", "")) if more > 0 else tuple(rows)
