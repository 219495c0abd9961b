"""Votes: the opinion of a judge, a person or a model, on the better of two answers to a prompt.

The columns are the same as in the votes of MT-Bench and Chatbot Arena (Zheng et al. 2023, arXiv:2306.05685), so that
their files can be read unchanged: `question_id`, `model_a`, `model_b`, `winner`, `judge`.  A file has a JSON object on
each line, or is a CSV file with these columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError
from lavra.evaluation.human.rows import read_rows, write_rows


class Winner(Enum):
    """The winner of a comparison, or the tie."""

    MODEL_A = "model_a"
    MODEL_B = "model_b"
    TIE = "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A judge's opinion of two answers to a prompt.

    Attributes:
        question_id: id of the prompt.
        model_a: name of the first model.
        model_b: name of the second model.
        winner: model with the better answer, or a tie.
        judge: name of a person or of a judging model.
        shown_first: `model_a` or `model_b`, or empty if that is not known.
        prompt: text that both models were asked.
        answer_a: answer of `model_a`.
        answer_b: answer of `model_b`.
        comment: comment of the judge.
    """

    question_id: str
    model_a: str
    model_b: str
    winner: Winner
    judge: str
    shown_first: str = ""
    prompt: str = ""
    answer_a: str = ""
    answer_b: str = ""
    comment: str = ""

    def record(self) -> dict[str, Any]:
        """The vote as plain data, for a line of a file."""
        return {name: getattr(self, name) for name in VOTE_COLUMNS} | {"winner": self.winner.value}


VOTE_COLUMNS = tuple(Vote.__dataclass_fields__)
_REQUIRED = ("question_id", "model_a", "model_b", "winner", "judge")


def read_votes(path: Path) -> list[Vote]:
    """Read the votes of a file, JSON lines or CSV; Chatbot Arena's `tie (bothbad)` is a tie.

    Raises:
        InputError: the file cannot be read, or a line is not a vote; the message names the line.
    """
    return [vote_of(row.values, str(row.place)) for row in read_rows(path)]


def vote_of(values: Mapping[str, Any], where: str) -> Vote:
    """Make a vote from the columns of a row.

    Raises:
        InputError: a column is missing or has no known meaning; the message begins with `where`.
    """
    for name in _REQUIRED:
        if values.get(name) in (None, ""):
            raise InputError(f"{where}: {name!r} is missing; a vote has {', '.join(_REQUIRED)}")
    text = {name: str(values.get(name) or "") for name in VOTE_COLUMNS}
    known = {one.value: one for one in Winner} | {"tie (bothbad)": Winner.TIE}
    if text["winner"] not in known:
        raise InputError(f"{where}: winner is {text['winner']!r}; write {', '.join(one.value for one in Winner)}")
    if text["model_a"] == text["model_b"]:
        raise InputError(f"{where}: model_a and model_b are both {text['model_a']!r}; a vote is between two models")
    judge = values["judge"]
    text["judge"] = str(judge[0]) if isinstance(judge, list) and judge else str(judge)  # MT-Bench: [author, kind]
    return Vote(**{**text, "winner": known[text["winner"]]})  # type: ignore[arg-type]  # the rest is text


def write_votes(path: Path, votes: Iterable[Vote]) -> None:
    """Write votes as `.jsonl` or `.csv`, atomically.

    Raises:
        InputError: the file has another ending.
    """
    write_rows(path, VOTE_COLUMNS, [vote.record() for vote in votes])
