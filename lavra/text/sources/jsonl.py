"""Read JSON Lines: one object on each line, one document for each object, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, open_text, text_documents
from lavra.text.sources.rows import TableRow, row_facts, row_text, whole_rows_note
from lavra.text.tally import Tally


def read_jsonl(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.jsonl` file; lines without a document are counted by reason.

    Raises:
        UnreadableError: no line has the text field.
    """
    for row in jsonl_rows(file, config, tally):
        yield from text_documents(file, row.text, str(row.number), config, tally)


def jsonl_rows(file: File, config: ReadConfig, tally: Tally) -> Iterator[TableRow]:
    """The rows of a `.jsonl` file that have text; lines without text are counted by reason.

    Raises:
        UnreadableError: no line has the text field.
    """
    fields: set[str] = set()
    found = False
    with open_text(file, tally) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            row, reason = _row_of(line, fields)
            text = None if row is None else _text(row, config)
            if row is None or text is None:
                tally.rows_skipped[reason] += 1
                continue
            if config.text_field not in row and not found:
                tally.file_issues[whole_rows_note(config.text_field)] += 1
            found = True
            yield TableRow(number=number, text=text, facts=row_facts(row, config.text_field))
    if not found:
        known = f"its fields are {', '.join(sorted(fields))}" if fields else "no line is a JSON object"
        raise UnreadableError(f"no field {config.text_field!r}", f"{known}; name the right one with text_field")


def _text(row: dict[str, Any], config: ReadConfig) -> str | None:
    """The text of a row; `None` where it has none."""
    if config.whole_rows and config.text_field not in row:
        return row_text(row) or None
    text = row.get(config.text_field)
    return text if isinstance(text, str) else None


def _row_of(line: str, fields: set[str]) -> tuple[dict[str, Any] | None, str]:
    """The object of one line, or None with the reason; the names of its fields are added to `fields`."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, "invalid JSON"
    if not isinstance(row, dict):
        return None, "not a JSON object"
    if len(fields) < 50:
        fields.update(row)
    return row, "no text in the row"
