"""MultiRC: turns its JSON lines, each a passage with questions and their answers, into one row for each answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def answer_rows(passages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make a row of each answer: `paragraph`, `question`, `answer`, `label`, `idx`, as in Hugging Face's copy."""
    return [
        {
            "paragraph": passage["passage"]["text"],
            "question": question["question"],
            "answer": answer["text"],
            "label": int(answer["label"]),
            "idx": {"paragraph": passage["idx"], "question": question["idx"], "answer": answer["idx"]},
        }
        for passage in passages
        for question in passage["passage"]["questions"]
        for answer in question["answers"]
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = answer_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)
