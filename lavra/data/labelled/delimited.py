"""CSV and TSV rows, with the real line each begins at.

Comma-, semicolon- and bar-separated files quote as RFC 4180 says, and a cell may span lines.  Tab-separated files have
no quoting (IANA text/tab-separated-values; GLUE's are full of single quotation marks) unless every name of the header
stands in quotation marks.  A file without a header has columns named by their number from 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, read_text

if TYPE_CHECKING:
    import _csv  # where the type of a reader is

DELIMITERS = (",", ";", "\t", "|")
# The csv module's own limit is 128 KiB a cell; a book is longer.
FIELD_LIMIT = 1 << 28
WHOLE_ROWS = "give every row as many cells as the header; quote cells that hold the delimiter"
CLOSED_QUOTES = "close the quotation mark, and double those within a cell"


@dataclass(frozen=True, kw_only=True)
class _Dialect:
    delimiter: str
    quoted: bool

    def reader(self, stream: io.StringIO) -> _csv.Reader:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        return csv.reader(stream, delimiter=self.delimiter, quoting=quoting, strict=True)


def read_delimited(path: Path, *, header: bool) -> LabelledTable:
    """The rows of a `.csv` or `.tsv` file.

    Args:
        path: the file; the name may end in `.gz`.
        header: whether its first row names the columns.

    Raises:
        InputError: it cannot be read or is not text.
    """
    csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT))
    notes = Notes(str(path))
    text = read_text(path, notes)
    dialect = _dialect_of(text, tabs=".tsv" in path.name.lower())
    lines = _rows(text, dialect, notes)
    first = next(lines, None)
    if first is None:
        return LabelledTable(columns=(), rows=(), troubles=tuple(notes.troubles))
    columns = tuple(cell.strip() for cell in first[1]) if header else tuple(map(str, range(1, len(first[1]) + 1)))
    _check_names(columns, first[0], notes)
    rows = [] if header else [_row(path, columns, *first)]
    for line, cells in lines:
        if len(cells) == len(columns):
            rows.append(_row(path, columns, line, cells))
        else:
            what = f"the row has {len(cells)} cells where there are {len(columns)} columns"
            notes.add(line, what, WHOLE_ROWS, dropped=True)
    return LabelledTable(columns=columns, rows=tuple(rows), troubles=tuple(notes.troubles), notes=_description(dialect))


def _check_names(columns: tuple[str, ...], line: int, notes: Notes) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        what = f"the header names {', '.join(map(repr, twice))} more than once; the last one is read"
        notes.add(line, what, "give every column a name of its own", dropped=False)


def _row(path: Path, columns: tuple[str, ...], line: int, cells: list[str]) -> Row:
    return Row(place=Place(file=str(path), line=line), values=dict(zip(columns, cells, strict=True)))


def _rows(text: str, dialect: _Dialect, notes: Notes) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank and the line it begins at."""
    reader = dialect.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            until = f" (read to line {reader.line_num})" if reader.line_num > line else ""
            notes.add(line, f"not a row{until}: {error}", CLOSED_QUOTES, dropped=True)
            continue
        if cells:
            yield line, cells


def _dialect_of(text: str, *, tabs: bool) -> _Dialect:
    """By the first line: tabs where the name says so, else what parts it into most cells."""
    head = text.removeprefix("\ufeff").lstrip("\r\n").partition("\n")[0].rstrip("\r")
    delimiter = "\t" if tabs else max(DELIMITERS, key=head.count)
    if delimiter != "\t":
        return _Dialect(delimiter=delimiter, quoted=True)
    names = head.split("\t")
    return _Dialect(
        delimiter=delimiter,
        quoted=all(len(name) > 1 and name[0] == name[-1] == '"' for name in names),
    )


def _description(dialect: _Dialect) -> dict[str, str]:
    name = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}[dialect.delimiter]
    return {"format": f"{name}; quotation marks {'enclose cells' if dialect.quoted else 'are text'}"}
