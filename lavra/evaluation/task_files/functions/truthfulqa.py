"""TruthfulQA (Lin et al. 2022) from the hub's rows: its answers as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.evaluation.benchmarks.truthfulqa.answers import NO_COMMENT, sentences
from lavra.evaluation.task_files.rows import DocumentRow, DocumentRows


def process_docs_gen(rows: DocumentRows) -> DocumentRows:
    """Keep answers that are not empty, each with a full stop, and add "no comment" to the right answers."""
    return rows.map(_sentences)


def _sentences(row: DocumentRow) -> DocumentRow:
    right, wrong = _stopped(row["correct_answers"]), _stopped(row["incorrect_answers"])
    right += [] if NO_COMMENT in right else [NO_COMMENT]
    return {"question": row["question"].strip(), "correct_answers": right, "incorrect_answers": wrong}


def _stopped(answers: Sequence[str]) -> list[str]:
    return sentences(answer.strip() for answer in answers if answer.strip())
