"""CSV and TSV rows, with the real line each begins at.

A cell in quotation marks may span lines; `dialects` finds the delimiter and `records` limits the loss where a row is
damaged.  Comments above the header and between rows are passed over and counted.  A file without a header has columns
named by their number from 1.
"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lavra.data.labelled.dialects import find_dialect, sep_line, without_escapes
from lavra.data.labelled.records import Damage, Dialect, Record, first_record, read_records
from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, read_text

WHOLE_ROWS = "give every row as many cells as the header; quote cells that hold the delimiter"
CLOSED_QUOTES = "close the quotation mark, and double those within a cell"
_PARTED = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


def read_delimited(path: Path, *, header: bool) -> LabelledTable:
    """The rows of a `.csv` or `.tsv` file.

    Args:
        path: the file; the name may end in `.gz`.
        header: whether its first row names the columns.

    Raises:
        InputError: it cannot be read or is not text.
    """
    notes = Notes(str(path))
    text, escapes = without_escapes(read_text(path, notes).removeprefix("\ufeff"))
    noted = {"quotation marks": "escaped by a backslash"} if escapes else {}
    lines = list(io.StringIO(text, newline=""))
    delimiter = sep_line(lines[0]) if lines else None
    if delimiter is not None:
        noted["first line"] = f"{lines[0].strip()!r} names the delimiter"
    begin = 0 if delimiter is None else 1
    above = _above(lines, begin)
    dialect = find_dialect(lines, above, tabs=".tsv" in path.name.lower(), delimiter=delimiter)
    passed: Counter[str] = Counter()
    start = _first_row(lines, begin, above, dialect, passed, header=header)
    if start == len(lines):
        return LabelledTable(columns=(), rows=(), issues=tuple(notes.issues))
    head, start = _head(lines, start, dialect, notes)
    columns = _names(head, notes) if header else tuple(map(str, range(1, len(head.cells) + 1)))
    found = read_records(lines, dialect, start=start, width=len(columns))
    rows = _rows(found if header else itertools.chain([head], found), columns, notes, passed)
    noted.update((name, f"{count:,} passed over") for name, count in passed.items())
    described = {"format": _description(dialect), **noted}
    return LabelledTable(columns=columns, rows=rows, issues=tuple(notes.issues), notes=described)


def _above(lines: Sequence[str], begin: int) -> int:
    """Index of the first line that is neither blank nor begins with `#`; the first line where all do."""
    found = (at for at in range(begin, len(lines)) if lines[at].strip() and not lines[at].startswith("#"))
    return next(found, begin)


def _first_row(
    lines: Sequence[str], begin: int, above: int, dialect: Dialect, passed: Counter[str], *, header: bool
) -> int:
    """Index of the first row.  A line with `#` and as many cells as the row behind it is a row, or a header."""
    width = dialect.width(lines[above]) if above < len(lines) else 0
    for at in range(begin, above):
        if not lines[at].strip():
            continue
        is_comment = dialect.width(lines[at]) != width or width < 2 or (header and lines[at].startswith("# "))
        if not is_comment:
            return at
        passed["comments"] += 1
    return next((at for at in range(above, len(lines)) if lines[at].strip()), len(lines))


def _head(lines: Sequence[str], start: int, dialect: Dialect, notes: Notes) -> tuple[Record, int]:
    """The first record and the line behind it; a damaged one is read as its line stands."""
    cells, stop = first_record(lines, dialect, start)
    if cells is None:
        cells = [cell.strip().strip('"') for cell in lines[start].rstrip("\r\n").split(dialect.delimiter)]
        what = f"the first row has a quotation mark that is not closed; it is read as {', '.join(map(repr, cells))}"
        notes.add(start + 1, what, CLOSED_QUOTES, dropped=False)
    return Record(start + 1, cells), stop


def _names(head: Record, notes: Notes) -> tuple[str, ...]:
    """The columns a header names; its first name may stand behind a `#`."""
    columns = tuple(cell.strip() for cell in head.cells)
    columns = (columns[0].removeprefix("#") or columns[0], *columns[1:])
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        what = f"the header names {', '.join(map(repr, twice))} more than once; the last one is read"
        notes.add(head.line, what, "give every column a name of its own", dropped=False)
    return columns


def _rows(
    found: Iterable[Record | Damage], columns: tuple[str, ...], notes: Notes, passed: Counter[str]
) -> tuple[Row, ...]:
    rows = []
    for one in found:
        if isinstance(one, Damage):
            notes.add(one.first, one.what, CLOSED_QUOTES, dropped=True)
            continue
        cells = one.cells
        if len(columns) > 1 and not any(cells):
            passed["rows without a filled cell"] += 1
            continue
        if len(columns) > 1 and len(cells) == 1 and cells[0].startswith("#"):
            passed["comments"] += 1
            continue
        if len(cells) > len(columns) and not any(cells[len(columns) :]):
            cells = cells[: len(columns)]
            passed["rows with empty cells behind the last column"] += 1
        if len(cells) == len(columns):
            values = dict(zip(columns, cells, strict=True))
            rows.append(Row(place=Place(file=notes.file, line=one.line), values=values))
            continue
        what = f"the row has {len(cells)} cells where there are {len(columns)} columns"
        notes.add(one.line, what, WHOLE_ROWS, dropped=True)
    return tuple(rows)


def _description(dialect: Dialect) -> str:
    name = _PARTED.get(dialect.delimiter, repr(dialect.delimiter))
    return f"{name}; quotation marks {'enclose cells' if dialect.quoted else 'are text'}"
