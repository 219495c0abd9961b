"""HellaSwag's rows in the asked form: without the brackets of WikiHow's texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any


def plain(text: str) -> str:
    """A text without WikiHow's `[title]` and other brackets."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def ending_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `query`, `choices` and `gold`."""
    return [
        {
            **row,
            "query": plain(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"),
            "choices": [plain(ending) for ending in row["endings"]],
            "gold": int(row["label"]),
        }
        for row in rows
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = ending_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)
