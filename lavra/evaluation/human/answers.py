"""Answers of models to prompts, read from files of JSON lines or CSV; a study shows them to people.

A row has a prompt and an answer; common names of the columns are known (`lavra answers` writes `prompt`, `completion`
and `teacher`).  Prompts are matched between files by their text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.data.labelled.tables import Row
from lavra.evaluation.human.rows import read_rows

PROMPT_COLUMNS: Final = ("prompt", "question", "instruction", "input")
ANSWER_COLUMNS: Final = ("completion", "answer", "response", "output", "generation", "text")
MODEL_COLUMNS: Final = ("model", "teacher", "generator")
REFERENCE_COLUMNS: Final = ("reference", "evidence", "source")
ID_COLUMNS: Final = ("question_id", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """The answer of one model to one prompt.

    Attributes:
        model: name of the model.
        question_id: id of the prompt.
        prompt: text that the model was asked.
        answer: text that it wrote; may be empty.
        reference: a text that helps to judge whether the answer is true, or empty.
    """

    model: str
    question_id: str
    prompt: str
    answer: str
    reference: str = ""


def read_answers(named: Sequence[str]) -> list[ModelAnswer]:
    """Read the answers of files, each given as `FILE` or `NAME=FILE`; NAME is the model of every row of the file.

    Without a name, the model is the value of a row's `model` or `teacher`, else the file's name without its ending.

    Raises:
        InputError: a file cannot be read; a row lacks prompt or answer; a model answers a prompt twice, or has the same
            name in two files.  The message names file and line.
    """
    found: list[ModelAnswer] = []
    numbers: dict[str, str] = {}  # prompt -> question id
    places: dict[tuple[str, str], str] = {}  # (model, prompt) -> file and line
    for word in named:
        name, _, file = word.rpartition("=")
        for row in read_rows(Path(file)):
            model = name or _first(row.values, MODEL_COLUMNS) or Path(file).stem
            answer = replace(_asked(row, numbers), model=model, answer=_text(row, ANSWER_COLUMNS))
            before = places.setdefault((answer.model, answer.prompt), str(row.place))
            if before != str(row.place):
                raise InputError(
                    f"{row.place}: {model} has answered this prompt at {before} already; keep one answer a prompt, or "
                    "tell two models apart with NAME=FILE"
                )
            found.append(answer)
    _refuse_one_id_of_two_prompts(found)
    return found


def merged_answers(answers: Sequence[ModelAnswer]) -> list[ModelAnswer]:
    """Merge the answers of several sources: equal prompts get equal ids.

    Raises:
        InputError: a model answers a prompt twice.
    """
    ids: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for one in answers:
        if (one.model, one.prompt) in seen:
            raise InputError(f"{one.model} answers a prompt twice; tell two models apart with NAME=MODEL or NAME=FILE")
        seen.add((one.model, one.prompt))
        taken = one.question_id in ids.values()
        ids.setdefault(one.prompt, f"{one.question_id}-{len(ids) + 1}" if taken else one.question_id)
    return [replace(one, question_id=ids[one.prompt]) for one in answers]


def read_prompts(path: Path) -> list[ModelAnswer]:
    """Read the prompts of a file, each with an empty answer; other columns of a row are ignored.

    Raises:
        InputError: the file cannot be read, or a prompt is missing, empty or repeated.
    """
    numbers: dict[str, str] = {}
    found: list[ModelAnswer] = []
    for row in read_rows(path):
        before = len(numbers)
        found.append(_asked(row, numbers))
        if len(numbers) == before:
            raise InputError(f"{row.place}: this prompt is there already; keep it once")
    _refuse_one_id_of_two_prompts(found)
    return found


def _asked(row: Row, numbers: dict[str, str]) -> ModelAnswer:
    """The prompt of a row, without model and answer."""
    prompt = _text(row, PROMPT_COLUMNS)
    if not prompt.strip():
        raise InputError(f"{row.place}: the prompt is empty; fill it in, or delete the row")
    given = _first(row.values, ID_COLUMNS)
    number = numbers.setdefault(prompt, given or str(len(numbers) + 1))
    reference = _first(row.values, REFERENCE_COLUMNS)
    return ModelAnswer(model="", question_id=number, prompt=prompt, answer="", reference=reference)


def _text(row: Row, columns: Sequence[str]) -> str:
    for column in columns:
        if column in row.values:
            value = row.values[column]
            if not isinstance(value, str):
                raise InputError(f"{row.place}: {column!r} is {value!r}, not text; write it as a string")
            return value
    raise InputError(f"{row.place}: there is no {columns[0]!r} (nor {', '.join(columns[1:])}); name the column so")


def _first(values: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The first non-empty value of these columns, as text; empty if all are."""
    return next((str(values[column]) for column in columns if values.get(column) not in (None, "")), "")


def _refuse_one_id_of_two_prompts(answers: Sequence[ModelAnswer]) -> None:
    prompts: dict[str, str] = {}
    for one in answers:
        if prompts.setdefault(one.question_id, one.prompt) != one.prompt:
            raise InputError(
                f"question_id {one.question_id!r} stands at two different prompts; give each prompt an id of its own"
            )
