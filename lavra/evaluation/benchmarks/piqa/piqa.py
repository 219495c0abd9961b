"""PIQA: joins its two files, questions as JSON lines and one label per line, into rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def labelled_rows(files: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Make a row of each question in two whole files (`text`): questions, then labels.

    Raises:
        ValueError: the files have different numbers of lines.
    """
    questions = [json.loads(line) for line in files[0]["text"].splitlines() if line.strip()]
    labels = files[1]["text"].split()
    return [
        {"goal": question["goal"], "sol1": question["sol1"], "sol2": question["sol2"], "label": int(label)}
        for question, label in zip(questions, labels, strict=True)
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = labelled_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)
