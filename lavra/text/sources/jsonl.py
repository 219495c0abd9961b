"""JSON Lines: one object a line, one document an object, read line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, open_text, text_documents
from lavra.text.sources.rows import TableRow, row_facts
from lavra.text.tally import Tally


def read_jsonl(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.jsonl` file; lines that give none are counted by reason.

    Raises:
        UnreadableError: no line has the text field.
    """
    for row in jsonl_rows(file, config, tally):
        yield from text_documents(file, row.text, str(row.number), config, tally)


def jsonl_rows(file: File, config: ReadConfig, tally: Tally) -> Iterator[TableRow]:
    """The rows of a `.jsonl` file that have text; lines that give none are counted by reason.

    Raises:
        UnreadableError: no line has the text field.
    """
    fields: set[str] = set()
    found = False
    with open_text(file, tally) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            row, reason = _row_of(line, config.text_field, fields)
            if row is None:
                tally.rows_skipped[reason] += 1
                continue
            found = True
            yield TableRow(number=number, text=row[config.text_field], facts=row_facts(row, config.text_field))
    if not found:
        known = f"its fields are {', '.join(sorted(fields))}" if fields else "no line is a JSON object"
        raise UnreadableError(f"no field {config.text_field!r}", f"{known}; name the right one with text_field")


def _row_of(line: str, field: str, fields: set[str]) -> tuple[dict[str, Any] | None, str]:
    """The object of one line that has text, or None and the reason; the names of its fields are added to `fields`."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, "invalid JSON"
    if not isinstance(row, dict):
        return None, "not a JSON object"
    if len(fields) < 50:
        fields.update(row)
    if not isinstance(row.get(field), str):
        return None, "no text in the row"
    return row, ""
