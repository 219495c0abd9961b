"""Rows of tables of any format: the text of a row and the facts in its other fields."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lavra.base.retrieval import MetaValue
from lavra.text.encoding import valid_unicode

MAX_FACT_CHARS: Final = 1000
"""A longer field is another text of the row, not a fact about it."""
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})(?P<fraction>\.\d{1,17})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row that has text.

    Attributes:
        number: number of its line or row in the file, from 1.
        text: text from the field that holds it.
        facts: its other fields with words, numbers, booleans, or lists of words.
    """

    number: int
    text: str
    facts: Mapping[str, MetaValue]


def row_facts(fields: Mapping[str, object], text_field: str) -> dict[str, MetaValue]:
    """The fields of a row that are facts about its text; other fields (nested, empty or long) are left out."""
    found = ((valid_unicode(str(name)), _fact(value)) for name, value in fields.items() if name != text_field)
    return {name: value for name, value in found if value is not None}


def row_text(fields: Mapping[str, object]) -> str:
    r"""The text of a row without a text field: every field with content, a line each.

    >>> row_text({"question": "Why?", "answer": "So.", "notes": ""})
    'question: Why?\nanswer: So.'
    """
    return "\n".join(f"{name}: {text}" for name, value in fields.items() if (text := _as_text(value)))


def _as_text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(_as_text, value)))
    return str(value).strip() if isinstance(value, (str, bool, int, float, date)) else ""


def whole_rows_note(field: str) -> str:
    """The tally's note about a table whose rows are read whole."""
    return f"no field {field!r}, rows read whole"


def number_or_word(field: str) -> MetaValue:
    """The value of a field in a file without types: a number where the field is written as a number, for comparisons.

    >>> number_or_word("2020"), number_or_word("0.5"), number_or_word("007"), number_or_word("1e5")
    (2020, 0.5, '007', '1e5')
    """
    match = _NUMBER.fullmatch(field)
    if match is None:
        return field
    return float(field) if match["fraction"] else int(field)


def _fact(value: object) -> MetaValue | None:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, str):
        return valid_unicode(value) if value and len(value) <= MAX_FACT_CHARS else None
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        words = tuple(valid_unicode(each) for each in value if isinstance(each, str))
        return words if words and len(words) == len(value) and sum(map(len, words)) <= MAX_FACT_CHARS else None
    return None
