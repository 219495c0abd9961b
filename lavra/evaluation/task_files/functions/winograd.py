"""The Winograd Schema Challenge, 273 sentences (Levesque et al. 2012): options in the case and form of their place."""

from __future__ import annotations

from lavra.evaluation.task_files.rows import DocumentRow, DocumentRows

_POSSESSIVE = ("my", "his", "her", "our", "their")
_CAPITALS = ("A", "An", "The", "She", "He", "It", "They", "My", "His", "Her", "Their")


def process_doc(rows: DocumentRows) -> DocumentRows:
    """Make double spaces single, and give both options the form that they have in the sentence."""
    return rows.map(_changed)


def _changed(row: DocumentRow) -> DocumentRow:
    text = row["text"].replace("  ", " ")
    first, second, *more = row["options"]
    begins = text[row["pronoun_loc"] - 2] == "."
    return {"text": text, "options": [_option(row, first, begins), _option(row, second, begins), *more]}


def _option(row: DocumentRow, option: str, begins_sentence: bool) -> str:
    if row["pronoun"].lower() in _POSSESSIVE:
        option += "'s"
    first = option.split()[0]
    return option.replace(first, first.lower()) if not begins_sentence and first in _CAPITALS else option
