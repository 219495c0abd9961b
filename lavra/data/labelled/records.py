"""Records of delimited text, and the lines lost where a record is damaged.

A quotation mark that is never closed swallows the lines behind it.  Here such a record costs its own line: reading goes
on at the line behind the mark, where the lines there are rows by themselves.  Where they are not, they are the rest of
a damaged cell of many lines, and the record is left out whole: half a cell is not a sample.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import _csv  # where the type of a reader is

# The csv module's own limit is 128 KiB a cell; a book is longer.
FIELD_LIMIT = 1 << 28
MANY_ROWS = 10  # rows behind a quotation mark that prove it stray, even where its own line lacks cells
FEW_ROWS = 3  # rows within a record that prove a quotation mark stray


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The delimiter and the quoting of cells.

    Attributes:
        delimiter: one character.
        quoted: quotation marks enclose cells (RFC 4180); otherwise they are text.
        skips_blanks: blanks between a delimiter and a quotation mark are no part of the cell.
    """

    delimiter: str
    quoted: bool
    skips_blanks: bool = False

    def reader(self, lines: Iterator[str], *, strict: bool = True) -> _csv.Reader:
        """A reader of records in this dialect."""
        csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT))
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        return csv.reader(
            lines, delimiter=self.delimiter, quoting=quoting, strict=strict, skipinitialspace=self.skips_blanks
        )

    def plain_width(self, line: str) -> int:
        """Cells of a line, quotation marks being text."""
        return line.count(self.delimiter) + 1

    def width(self, line: str) -> int:
        """Cells of a line that is read by itself."""
        return len(next(self.reader(iter([line]), strict=False), []))


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of a record and the line it begins at, from 1."""

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Damage:
    """Lines that gave no record: `first` to `last`, from 1, and why."""

    first: int
    last: int
    what: str


class _Cursor:
    """Lines one after the other, from any place: a reader that failed is set back."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        self._lines, self.at = lines, at

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at == len(self._lines):
            raise StopIteration
        self.at += 1
        return self._lines[self.at - 1]


def first_record(lines: Sequence[str], dialect: Dialect, start: int) -> tuple[list[str] | None, int]:
    """The cells of the record that begins at a line, and the line behind it; None and the next line where it is bad."""
    cursor = _Cursor(lines, start)
    try:
        return next(dialect.reader(cursor)), cursor.at
    except csv.Error:
        return None, start + 1


def read_records(lines: Sequence[str], dialect: Dialect, *, start: int, width: int) -> Iterator[Record | Damage]:
    """Every record that is not blank, in order, and every damage.

    Args:
        lines: lines of the file, with their ends.
        dialect: the delimiter and the quoting.
        start: index of the first line.
        width: cells a whole row has.
    """
    cursor = _Cursor(lines, start)
    reader = dialect.reader(cursor)
    shape = _Shape(dialect, width)
    skipped = -1
    while True:
        first = cursor.at
        if first == skipped:
            what = "the line ends a damaged row, or has a quotation mark too many"
            yield Damage(first + 1, first + 1, what)
            cursor.at += 1
            continue
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            damage, cursor.at, skipped = _damage(lines, first, cursor.at, str(error), shape)
            yield damage
            continue
        if shape.is_doubtful(lines, first, cursor.at, cells):
            what = f"the row has {len(cells)} cells where there are {width} columns"
            damage, cursor.at, skipped = _damage(lines, first, cursor.at, what, shape)
            yield damage
        elif cells:
            yield Record(first + 1, cells)


class _Shape:
    """The usual shape of a file's rows."""

    def __init__(self, dialect: Dialect, width: int) -> None:
        self.dialect, self.width = dialect, width
        cell = rf'(?:"[^"]*(?:""[^"]*)*"|[^"\r\n{re.escape(dialect.delimiter)}]*)'
        blanks = " *" if dialect.skips_blanks else ""
        self._clean = re.compile(rf"{blanks}{cell}(?:{re.escape(dialect.delimiter)}{blanks}{cell})*[\r\n]*")

    def is_doubtful(self, lines: Sequence[str], first: int, stop: int, cells: list[str]) -> bool:
        """Whether a record of many lines may have swallowed some: its cells are too many, or hold stray marks."""
        if stop - first < 2:
            return False
        is_ragged = len(cells) < self.width or any(cells[self.width :])
        return (
            is_ragged or self._holds_rows(lines, first, stop) or not self._clean.fullmatch("".join(lines[first:stop]))
        )

    def _holds_rows(self, lines: Sequence[str], first: int, stop: int) -> bool:
        """Whether every line of a record is a row: two marks too many, far from each other, make one cell of them.

        A cell that holds rows rightly has other cells beside it, so that its first or last line is longer.
        """
        if stop - first < FEW_ROWS + 2:
            return False
        ends = (self.dialect.plain_width(lines[at]) == self.width for at in (first, stop - 1))
        return self.width > 1 and all(ends) and all(self.is_row(line) for line in lines[first + 1 : stop - 1])

    def is_row(self, line: str) -> bool:
        """Whether a line is a whole row by itself, without a stray quotation mark."""
        return bool(self._clean.fullmatch(line)) and len(next(self.dialect.reader(iter([line])), [])) == self.width

    def is_record(self, lines: Sequence[str], at: int) -> bool:
        """Whether a whole record begins at a line, without a stray quotation mark."""
        cells, stop = first_record(lines, self.dialect, at)
        return cells is not None and len(cells) == self.width and bool(self._clean.fullmatch("".join(lines[at:stop])))

    def are_rows(self, lines: Sequence[str], opened: int, stop: int) -> bool:
        """Whether the lines behind an opened quotation mark are rows, and not the rest of its cell."""
        behind = [line for line in lines[opened + 1 : stop] if line.strip()]
        whole = sum(self.is_row(line) for line in behind)
        looks_whole = self.dialect.plain_width(lines[opened]) >= self.width
        return whole * 2 > len(behind) and (looks_whole or whole >= MANY_ROWS)


def _damage(lines: Sequence[str], first: int, stop: int, error: str, shape: _Shape) -> tuple[Damage, int, int]:
    """The damage, the line to go on at, and a later line that is not a row (-1 where there is none)."""
    opened = _opening_line(lines, first, stop, shape.dialect)
    last = stop - 1
    if opened > first and shape.dialect.plain_width(lines[first]) >= shape.width and shape.is_record(lines, first + 1):
        opened = first  # a mark too many there turned those behind it around
    if last == opened:
        stop = _rest(lines, first, stop, shape)
        lines_told = f"lines {first + 1} to {stop} are not a row" if stop > last + 1 else "not a row"
        return Damage(first + 1, stop, f"{lines_told}: {error}"), stop, -1
    mark = f"the quotation mark that opens at line {opened + 1} is not closed"
    never_closed = stop == len(lines) and "end of data" in error
    own = Damage(first + 1, opened + 1, f"not a row: {mark} before line {stop}; reading goes on at line {opened + 2}")
    if never_closed and shape.are_rows(lines, opened, stop):
        return own, opened + 1, -1
    if not never_closed and shape.is_record(lines, last):
        return own, opened + 1, -1
    if not never_closed and last > opened + 1 and shape.are_rows(lines, opened, last):
        return own, opened + 1, last
    stop = _rest(lines, first, stop, shape)
    what = f"lines {first + 1} to {stop} are not a row: {mark if never_closed else error}"
    return Damage(first + 1, stop, what), stop, -1


def _rest(lines: Sequence[str], first: int, stop: int, shape: _Shape) -> int:
    """The line behind a damaged cell: it goes on while a mark is open, up to a line where a row begins."""
    num_marks = sum(line.count('"') for line in lines[first:stop])
    while num_marks % 2 and stop < len(lines) and not shape.is_record(lines, stop):
        num_marks += lines[stop].count('"')
        stop += 1
    return stop


def _opening_line(lines: Sequence[str], first: int, stop: int, dialect: Dialect) -> int:
    """Index of the line where the last quotation mark that encloses a cell opens, among those of a record."""
    opened, inside, begins, may_double = first, False, True, False
    for at in range(first, stop):
        for character in lines[at]:
            if inside:
                inside, may_double = character != '"', character == '"'
            elif character == '"' and (begins or may_double):
                opened = at if begins else opened
                inside, begins, may_double = True, False, False
            else:
                is_skipped = begins and dialect.skips_blanks and character == " "
                begins, may_double = is_skipped or character in (dialect.delimiter, "\r", "\n"), False
    return opened
