"""JSON Lines: one object a line, one document an object, read line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, open_text, text_documents
from lavra.text.tally import Tally


def read_jsonl(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.jsonl` file; lines that give none are counted by reason.

    Raises:
        UnreadableError: no line has the text field.
    """
    fields: set[str] = set()
    found = False
    with open_text(file, tally) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            text, reason = _text_of(line, config.text_field, fields)
            if text is None:
                tally.rows_skipped[reason] += 1
                continue
            found = True
            yield from text_documents(file, text, str(number), config, tally)
    if not found:
        known = f"its fields are {', '.join(sorted(fields))}" if fields else "no line is a JSON object"
        raise UnreadableError(f"no field {config.text_field!r}", f"{known}; name the right one with text_field")


def _text_of(line: str, field: str, fields: set[str]) -> tuple[str | None, str]:
    """The text of one line, or None and the reason; the names of the fields seen are added to `fields`."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, "invalid JSON"
    if not isinstance(row, dict):
        return None, "not a JSON object"
    if len(fields) < 50:
        fields.update(row)
    text = row.get(field)
    if not isinstance(text, str):
        return None, "no text in the row"
    return text, ""
