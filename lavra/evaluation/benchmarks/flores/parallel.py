"""FLORES: joins two files in two languages, with one sentence per line, into rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def sentence_rows(files: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Make a row of each line of two whole files (`text`): English, then Portuguese.

    Raises:
        ValueError: the files have different numbers of lines.
    """
    english, portuguese = (file["text"].removesuffix("\n").split("\n") for file in files)
    return [
        {"sentence_eng_Latn": source, "sentence_por_Latn": target}
        for source, target in zip(english, portuguese, strict=True)
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = sentence_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)
