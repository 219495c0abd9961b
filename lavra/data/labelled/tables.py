"""Rows of any file: values by column, and the place of each row.

Every format comes down to a `LabelledTable`; every task then reads rows of any format.  A line that
cannot be a row is a `DataIssue` of its own and never ends the reading.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from lavra.base.errors import InputError
from lavra.data.labelled.samples import DataIssue, Place
from lavra.text.encoding import REPLACEMENT, detect_encoding, valid_unicode


class UnusableError(Exception):
    """A sample cannot be used; becomes a `DataIssue` at a place of its own or where the row begins."""

    def __init__(self, what: str, remedy: str, place: Place | None = None) -> None:
        super().__init__(what)
        self.what, self.remedy, self.place = what, remedy, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a file.

    Attributes:
        place: the row's first line.
        values: the values by column.
        word_lines: the line of each of its words, where these stand one a line.
    """

    place: Place
    values: Mapping[str, Any]
    word_lines: tuple[int, ...] = ()

    def word_place(self, index: int) -> Place:
        """The place of its word `index`."""
        return Place(file=self.place.file, line=self.word_lines[index]) if self.word_lines else self.place


@dataclass(frozen=True, kw_only=True)
class LabelledTable:
    """The rows of one file.

    Attributes:
        columns: in the order they first appear.
        rows: in the order of the file.
        issues: an issue for every line that gave no row (`dropped`), and for every other fault.
        notes: facts about the format, shown to the user.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    issues: tuple[DataIssue, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


class Notes:
    """Issues gathered while files are read; and silent repairs, counted by name."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.counts: Counter[str] = Counter()
        self.issues: list[DataIssue] = []

    def add(self, line: int, what: str, remedy: str, *, dropped: bool) -> None:
        """Add an issue at a line of this file."""
        self.at(Place(file=self.file, line=line), what, remedy, dropped=dropped)

    def at(self, place: Place, what: str, remedy: str, *, dropped: bool) -> None:
        """Add an issue at a place of any file."""
        self.issues.append(DataIssue(place=place, what=what, remedy=remedy, dropped=dropped))


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Every column some row has, in the order they first appear."""
    return tuple(dict.fromkeys(column for row in rows for column in row.values))


def extension_of(path: Path) -> str:
    """The extension in lower case with its dot, `.gz` left off."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, decompressed.

    Raises:
        InputError: the file does not exist, or is not gzipped although its name ends in `.gz`.
    """
    try:
        if path.name.lower().endswith(".gz"):
            with gzip.open(path) as file:
                return file.read()
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}; check the path and that the file is whole") from error


def read_text(path: Path, notes: Notes) -> str:
    """The text of a file, newlines as they are; bytes that could not be decoded are noted.

    Raises:
        InputError: it cannot be read or is not text.
    """
    data = read_bytes(path)

    def again() -> BinaryIO:
        return BytesIO(data)

    encoding = detect_encoding(again)
    if encoding is None:
        if not data:
            raise InputError(f"{path} is empty; give a file with samples")
        raise InputError(f"{path} is not text; give jsonl, json, csv, tsv, CoNLL or parquet")
    text = data.decode(encoding.name, errors="replace")
    for issue in encoding.issues:
        notes.add(1, f"encoding: {issue}", "save the file as UTF-8", dropped=False)
    if encoding.num_invalid:
        line = text.count("\n", 0, text.find(REPLACEMENT)) + 1
        what = f"{encoding.num_invalid} undecodable sequences are read as {REPLACEMENT}, the first one here"
        notes.add(line, what, "save the file as UTF-8", dropped=False)
    return text


def text_value(row: Row, column: str) -> str:
    """The text of a cell.

    Raises:
        UnusableError: the field is missing, empty or not text.
    """
    value = lookup(row, column)
    if value is None:
        raise UnusableError(f"{column!r} is missing", "fill the field in, or delete the sample")
    return text_of(value, column)


def text_of(value: object, name: str) -> str:
    """`value`, if it is a text and not empty.

    Raises:
        UnusableError: the field is empty or not text.
    """
    if not isinstance(value, str):
        raise UnusableError(f"{name!r} is {shown(value)}, not text", "write the field as a string")
    if not value.strip():
        raise UnusableError(f"{name!r} is empty", "fill the field in, or delete the sample")
    return value if value.isascii() else _storable(value, name)


def _storable(value: str, name: str) -> str:
    if valid_unicode(value) != value:
        raise UnusableError(
            f"{name!r} holds half of a surrogate pair", "write the character whole; no UTF-8 text can hold it"
        )
    return value


def shown(value: object, most: int = 60) -> str:
    """A value for a message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def lookup(row: Row, column: str) -> Any:
    """The value of a column, or of a field within one (`translation.en`); `None` where there is none."""
    if column in row.values or "." not in column:
        return row.values.get(column)
    value: Any = row.values
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
