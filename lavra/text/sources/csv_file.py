"""CSV and TSV: one document a row, from the column that holds the text, read row by row.

The delimiter is the first of comma, semicolon, tab and bar under which the header names that column.  Tab-separated
files have no quoting (IANA text/tab-separated-values); the others quote as RFC 4180 says.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Literal

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, open_text, text_documents
from lavra.text.sources.rows import TableRow, number_or_word, row_facts, row_text, whole_rows_note
from lavra.text.tally import Tally

DELIMITERS = (",", ";", "\t", "|")
# A stray quote makes the csv module swallow the rest of the file into one field: stop it here instead.
FIELD_LIMIT = 1 << 26


def read_csv(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.csv` or `.tsv` file.

    Raises:
        UnreadableError: no column has that name, or a row cannot be parsed.
    """
    for row in csv_rows(file, config, tally):
        yield from text_documents(file, row.text, str(row.number), config, tally)


def csv_rows(file: File, config: ReadConfig, tally: Tally) -> Iterator[TableRow]:
    """The rows of a `.csv` or `.tsv` file that have text; the others are counted.

    Raises:
        UnreadableError: no column has that name, or a row cannot be parsed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT))
    with open_text(file, tally) as stream:
        header = stream.readline()
        delimiter, column = _find_column(header, config)
        names = _columns(header, delimiter)
        if column is None:
            tally.file_issues[whole_rows_note(config.text_field)] += 1
        rows = csv.reader(stream, delimiter=delimiter, quoting=_quoting(delimiter))
        number = 1
        try:
            for number, row in enumerate(rows, start=2):
                if not row:
                    continue
                text = _text(row, names, column)
                if not text:
                    tally.rows_skipped["no text in the row"] += 1
                    continue
                fields = {name: number_or_word(field) for name, field in zip(names, row, strict=False) if name}
                yield TableRow(number=number, text=text, facts=row_facts(fields, config.text_field))
        except csv.Error as error:
            raise UnreadableError("damaged csv", f"row {number + 1}: {error}") from error


def _text(row: list[str], names: list[str], column: int | None) -> str:
    """The text of a row: the text of its column, or of all columns."""
    if column is None:
        return row_text(dict(zip(names, row, strict=False)))
    return row[column] if column < len(row) else ""


def _find_column(header: str, config: ReadConfig) -> tuple[str, int | None]:
    """The delimiter of the file and the index of the text column; None where whole rows are read."""
    name = config.text_field
    for delimiter in DELIMITERS:
        columns = _columns(header, delimiter)
        if name in columns:
            return delimiter, columns.index(name)
    delimiter = max(DELIMITERS, key=lambda one: len(_columns(header, one)))
    shown = _columns(header, delimiter)
    if config.whole_rows and any(map(str.strip, shown)):
        return delimiter, None
    raise UnreadableError(
        f"no field {name!r}", f"its columns are {', '.join(shown)}; name the right one with text_field"
    )


def _columns(header: str, delimiter: str) -> list[str]:
    return next(csv.reader([header], delimiter=delimiter, quoting=_quoting(delimiter)), [])


def _quoting(delimiter: str) -> Literal[0, 3]:
    return csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
