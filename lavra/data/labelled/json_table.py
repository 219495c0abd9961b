"""Rows of JSON: one object a line (`.jsonl`), or a list of objects in one document (`.json`).

Objects of a document remember where they stand, so that an issue names the real line: Python's own decoder does the
work, and its object hook receives their position.  SQuAD's nested document gives a row a question.
"""

from __future__ import annotations

import json
import json.decoder
import json.scanner
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError
from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, columns_of, read_text, shown

ONE_A_LINE = "write one JSON object a line"


class PlacedObject(dict[str, Any]):
    """A JSON object and the position of its first character."""

    position: int = 0


class _PlacingDecoder(json.JSONDecoder):
    """Gives every object as a `PlacedObject`."""

    def __init__(self) -> None:
        super().__init__()
        make = json.decoder.JSONObject  # type: ignore[attr-defined]

        def placed(text_and_start: tuple[str, int], *rest: Any) -> tuple[PlacedObject, int]:
            value, end = make(text_and_start, *rest)
            result = PlacedObject(value)
            result.position = text_and_start[1] - 1  # the brace is behind us
            return result, end

        self.parse_object = placed
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def read_json_lines(path: Path) -> LabelledTable:
    """The rows of a `.jsonl` file.

    Raises:
        InputError: it cannot be read or is not text.
    """
    notes = Notes(str(path))
    return _lines_table(path, read_text(path, notes), notes)


def read_json(path: Path) -> LabelledTable:
    """The rows of a `.json` file: a list, `{"data": [...]}`, SQuAD's nesting, or JSON lines under a wrong name.

    Raises:
        InputError: it cannot be read, or is not JSON with a list of objects.
    """
    notes = Notes(str(path))
    text = read_text(path, notes)
    try:
        document = _PlacingDecoder().decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        if _first_line_is_object(text):
            table = _lines_table(path, text, notes)
            return LabelledTable(columns=table.columns, rows=table.rows, issues=table.issues, notes={"format": "jsonl"})
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}; correct it there") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply; give a list of flat objects") from error
    rows = tuple(_document_rows(document, _Lines(path, text), notes))
    return LabelledTable(columns=columns_of(rows), rows=rows, issues=tuple(notes.issues))


class _Lines:
    """From a position in a text to its place in the file."""

    def __init__(self, path: Path, text: str) -> None:
        self.file = str(path)
        self._breaks = [at for at, character in enumerate(text.removeprefix("\ufeff")) if character == "\n"]

    def place(self, value: PlacedObject) -> Place:
        return Place(file=self.file, line=bisect_right(self._breaks, value.position) + 1)


def _first_line_is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text.removeprefix("\ufeff").lstrip().partition("\n")[0]), dict)
    except ValueError:
        return False


def _lines_table(path: Path, text: str, notes: Notes) -> LabelledTable:
    rows = []
    # Not str.splitlines: a JSON string may hold U+2028 and its kin as they are.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            notes.add(
                number, f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}", ONE_A_LINE, dropped=True
            )
        except (ValueError, RecursionError) as error:  # a number of many thousand digits, a deep nesting
            notes.add(number, f"not JSON that can be read: {error}", ONE_A_LINE, dropped=True)
        else:
            if isinstance(value, dict):
                rows.append(Row(place=Place(file=str(path), line=number), values=value))
            else:
                notes.add(number, f"{shown(value)} is not a JSON object", ONE_A_LINE, dropped=True)
    return LabelledTable(columns=columns_of(rows), rows=tuple(rows), issues=tuple(notes.issues))


def _document_rows(document: Any, lines: _Lines, notes: Notes) -> Iterator[Row]:
    items = document
    if isinstance(document, Mapping):
        items = next((document[name] for name in ("data", "rows", "examples") if name in document), None)
    if not isinstance(items, list):
        raise InputError(f'{lines.file} holds no list of samples; write [{{…}}, …] or {{"data": [{{…}}, …]}}')
    if items and all(isinstance(item, PlacedObject) and "paragraphs" in item for item in items):
        yield from _squad_rows(items, lines, notes)
        return
    last = 0
    for number, item in enumerate(items, start=1):
        if isinstance(item, PlacedObject):
            place = lines.place(item)
            last = place.line
            yield Row(place=place, values=item)
        else:
            what = f"item {number}, {shown(item)}, is not a JSON object"
            notes.add(max(1, last), what, "write every sample as an object", dropped=True)


def _squad_rows(articles: list[PlacedObject], lines: _Lines, notes: Notes) -> Iterator[Row]:
    """A row a question, its passage in it (Rajpurkar et al. 2016, 2018)."""
    for article in articles:
        for paragraph in _objects(article, "paragraphs", lines, notes):
            for question in _objects(paragraph, "qas", lines, notes):
                values = {"context": paragraph.get("context"), **question}
                yield Row(place=lines.place(question), values=values)


def _objects(owner: PlacedObject, name: str, lines: _Lines, notes: Notes) -> Iterator[PlacedObject]:
    items = owner.get(name)
    if not isinstance(items, list):
        line = lines.place(owner).line
        notes.add(line, f"{name!r} is {shown(items)}, not a list", "write it as SQuAD does", dropped=True)
        return
    for item in items:
        if isinstance(item, PlacedObject):
            yield item
        else:
            line = lines.place(owner).line
            notes.add(line, f"{name!r} holds {shown(item)}, not an object", "write it as SQuAD does", dropped=True)
