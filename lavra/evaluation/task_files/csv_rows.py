"""Rows of a CSV file with the types that `datasets` gives them, which are pandas' types.

A column has whole numbers, decimal numbers, true/false, or text; the type is decided over 10,000 lines at a time.
Pandas' words for "missing" (an empty field, `NA`, `null`, …) become `None`.  Absent: dates (pandas leaves them as texts
unless asked).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from lavra.base.errors import InputError, nearest

_CHUNK = 10_000
_MISSING = frozenset(
    (
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    )
)  # fmt: skip
_BOOLS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_INFINITE = re.compile(r"\s*[+-]?(inf|infinity)\s*", re.IGNORECASE)
_MAX_WHOLE = 2**64
KEYS = frozenset(
    ("delimiter", "sep", "column_names", "names", "header", "quotechar", "quoting", "escapechar", "doublequote",
     "skipinitialspace", "skip_blank_lines", "keep_default_na", "na_filter", "encoding", "encoding_errors")
)  # fmt: skip


def read_csv(file: TextIO, path: Path, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Read the rows of an open file, in order.

    Args:
        file: file that was opened with `newline=""`.
        path: path of the file, for errors.
        options: options from `dataset_kwargs`, as `datasets` names them.

    Raises:
        InputError: an option is unknown, a line has too many fields, or a column changes its type.
    """
    for key in options:
        if key not in KEYS:
            raise InputError(f"{path}: unknown option {key!r} of a csv file{nearest(key, KEYS)}")
    reader = csv.reader(file, **_dialect(options))
    below: Iterator[tuple[int, list[str]]] = (
        (reader.line_num, fields) for fields in reader if fields or not options.get("skip_blank_lines", True)
    )
    names, lines = _names(below, options, path)
    missing = _MISSING if options.get("keep_default_na", True) and options.get("na_filter", True) else frozenset()
    kinds: list[str] = []
    while chunk := list(islice(lines, _CHUNK)):
        columns = _columns(chunk, names, path)
        typed = [_typed(column, missing) for column in columns]
        kinds = kinds or [kind for kind, _ in typed]
        values = [_as_before(kinds[index], *typed[index], name, chunk[0][0], path) for index, name in enumerate(names)]
        yield from (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def _dialect(options: Mapping[str, Any]) -> dict[str, Any]:
    dialect: dict[str, Any] = {"delimiter": str(options.get("delimiter") or options.get("sep") or ","), "strict": True}
    for key in ("quotechar", "quoting", "escapechar", "doublequote", "skipinitialspace"):
        if key in options:
            dialect[key] = options[key]
    return dialect


def _names(
    lines: Iterator[tuple[int, list[str]]], options: Mapping[str, Any], path: Path
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the lines below the header."""
    given = options.get("column_names") or options.get("names")
    header = options.get("header", "infer")
    if header not in ("infer", 0, None):
        raise InputError(f"{path}: option header={header!r}; lavra reads a header in the first line (0) or none (null)")
    if given and header in ("infer", None):
        return [str(name) for name in given], lines
    first = next(lines, None)
    if first is None:
        raise InputError(f"{path} is empty; a csv file begins with its columns' names")
    if given:
        return [str(name) for name in given], lines
    if header is None:
        return [str(index) for index in range(len(first[1]))], iter([first, *lines])
    return _unlike([name or f"Unnamed: {index}" for index, name in enumerate(first[1])]), lines


def _unlike(names: Sequence[str]) -> list[str]:
    """Make equal names different, as pandas does: `a`, `a.1`."""
    seen: dict[str, int] = {}
    columns: list[str] = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        columns.append(f"{name}.{count}" if count else name)
    return columns


def _columns(chunk: Sequence[tuple[int, list[str]]], names: Sequence[str], path: Path) -> list[list[str | None]]:
    columns: list[list[str | None]] = [[] for _ in names]
    for line, fields in chunk:
        if len(fields) > len(names):
            raise InputError(
                f"{path}:{line}: has {len(fields)} fields where there are {len(names)} columns; put quotes around a "
                "field that holds the delimiter"
            )
        for index, column in enumerate(columns):
            column.append(fields[index] if index < len(fields) else None)  # pandas fills up a short line
    return columns


def _typed(column: Sequence[str | None], missing: frozenset[str]) -> tuple[str, list[Any]]:
    """The type of a column and its typed values."""
    filled = [value for value in column if value is not None and value not in missing]
    has_gaps = len(filled) < len(column)
    for kind, fits, convert in _KINDS:
        if (filled or kind == "float") and all(fits(value) for value in filled):
            if kind == "int" and has_gaps:
                kind, convert = "float", float
            return kind, [None if value is None or value in missing else convert(value) for value in column]
    return "text", [None if value is None or value in missing else value for value in column]


def _is_whole(value: str) -> bool:
    return _INTEGER.fullmatch(value) is not None and -(_MAX_WHOLE // 2) <= int(value) < _MAX_WHOLE


def _is_decimal(value: str) -> bool:
    return (_DECIMAL.fullmatch(value) or _INFINITE.fullmatch(value)) is not None


_KINDS: tuple[tuple[str, Callable[[str], bool], Callable[[str], Any]], ...] = (
    ("int", _is_whole, int),
    ("float", _is_decimal, float),
    ("bool", lambda value: value in _BOOLS, lambda value: _BOOLS[value]),
)


def _as_before(wanted: str, kind: str, values: list[Any], name: str, line: int, path: Path) -> list[Any]:
    """Convert the values of a later part of a file to the type of its first part."""
    if wanted == kind or all(value is None for value in values):
        return values
    if wanted == "text":
        return [value if value is None else str(value) for value in values]
    if wanted == "float" and kind == "int":
        return [value if value is None else float(value) for value in values]
    raise InputError(
        f"{path}:{line}: column {name!r} is {wanted} in the first {_CHUNK} lines and {kind} from here on; write it "
        "alike in all lines"
    )
