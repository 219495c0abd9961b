"""HellaSwag (Zellers et al. 2019): endings of WikiHow and ActivityNet texts, cleaned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def process_docs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds `query`, `choices` and `gold`."""
    return [{**row, **_changed(row)} for row in rows]


def _changed(row: dict[str, Any]) -> dict[str, Any]:
    context = row["ctx_a"] + " " + row["ctx_b"].capitalize()
    return {
        "query": _clean(row["activity_label"] + ": " + context),
        "choices": [_clean(ending) for ending in row["endings"]],
        "gold": int(row["label"]),
    }


def _clean(text: str) -> str:
    text = text.strip().replace(" [title]", ". ")  # brackets are left over from WikiHow's pages
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")
