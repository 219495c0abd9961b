"""ENEM's questions that can be asked in text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LETTERS = "abcde"


def text_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The questions with five written answers and no picture; `gold` is the number of the right one."""
    return [
        {
            "id": row["id"],
            "context": row["context"].strip(),
            "question": row["question"].strip(),
            "options": list(row["options"]),
            "gold": LETTERS.index(row["label"]),
        }
        for row in rows
        if not row["has_associated_images"] and len(row["options"]) == len(LETTERS)
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = text_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)
