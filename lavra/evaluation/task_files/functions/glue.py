"""GLUE (Wang et al. 2018): the prompt of MNLI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mnli_doc_to_text(row: Mapping[str, Any]) -> str:
    """The premise and the hypothesis as a question; the hypothesis ends in a full stop."""
    hypothesis = row["hypothesis"].strip()
    stop = "" if hypothesis.endswith(".") else "."
    return f"{row['premise']}\nQuestion: {hypothesis}{stop} True, False or Neither?\nAnswer:"
