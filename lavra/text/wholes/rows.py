"""Read rows of tables, a document each, with their other fields as facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from lavra.text.sources.csv_file import csv_rows
from lavra.text.sources.jsonl import jsonl_rows
from lavra.text.sources.parquet import parquet_rows
from lavra.text.sources.reading import File, ReadConfig, text_documents
from lavra.text.sources.rows import TableRow
from lavra.text.tally import Tally
from lavra.text.wholes.draft import WholeDraft

_READERS: Final[dict[str, Callable[[File, ReadConfig, Tally], Iterator[TableRow]]]] = {
    "jsonl": jsonl_rows,
    "csv": csv_rows,
    "parquet": parquet_rows,
}


def read_records(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    """The documents of a `.jsonl`, `.csv`, `.tsv` or `.parquet` file."""
    for row in _READERS[file.reader](file, config, tally):
        for document in text_documents(file, row.text, str(row.number), config, tally):
            yield WholeDraft(document=document, kind=file.kind, facts=row.facts)
