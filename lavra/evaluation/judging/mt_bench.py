"""MT-Bench (Zheng et al. 2023, arXiv:2306.05685): its questions, answers and judge prompts, from FastChat's files.

Its judge prompts become rubrics.  Only the first turn is judged: judge prompts for a second turn show a whole
conversation, and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError, nearest
from lavra.data.labelled.tables import Row
from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.rows import read_rows
from lavra.evaluation.judging.rubric import Rubric, rubric_of
from lavra.prompts.prompt import Generation, MessageTemplate, Prompt
from lavra.prompts.variables import Variable

_NAMES = {"ref_answer_1": "reference"}
_SCORES = tuple(str(number) for number in range(1, 11))
_LONGEST_VERDICT = 1024


@dataclass(frozen=True, kw_only=True)
class ChatQuestion:
    """A question of MT-Bench.

    Attributes:
        question_id: number of the question, as text.
        category: writing, math, …
        turns: messages of the user, turn by turn.
        reference: right answers to the turns; empty if the question has none.
    """

    question_id: str
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] = ()


def read_questions(path: Path) -> list[ChatQuestion]:
    """Read the questions of `question.jsonl`.

    Raises:
        InputError: the file cannot be read, or a line is not a question; the message names the line.
    """
    found: list[ChatQuestion] = []
    for row in read_rows(path):
        turns = row.values.get("turns")
        if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
            raise InputError(f"{row.place}: 'turns' is {turns!r}; a question of MT-Bench has a list of texts")
        found.append(
            ChatQuestion(
                question_id=str(row.values.get("question_id", len(found) + 1)),
                category=str(row.values.get("category", "")),
                turns=tuple(turns),
                reference=tuple(str(text) for text in row.values.get("reference") or ()),
            )
        )
    return found


def read_chat_answers(path: Path, questions: Sequence[ChatQuestion]) -> list[ModelAnswer]:
    """Read the first-turn answers of a file in FastChat's layout (`question_id`, `model_id`, `choices`).

    Raises:
        InputError: the file cannot be read, or a line is not an answer to a known question; the message names the line.
    """
    known = {one.question_id: one for one in questions}
    found = []
    for row in read_rows(path):
        number = str(row.values.get("question_id"))
        if number not in known:
            raise InputError(f"{row.place}: there is no question {number!r}{nearest(number, known)}")
        question = known[number]
        found.append(
            ModelAnswer(
                model=str(row.values.get("model_id") or path.stem),
                question_id=number,
                prompt=question.turns[0],
                answer=_first_turn(row),
                reference=question.reference[0] if question.reference else "",
            )
        )
    return found


def _first_turn(row: Row) -> str:
    try:
        text = row.values["choices"][0]["turns"][0]
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise InputError(f"{row.place}: 'choices' holds no turn; FastChat writes choices: [{{turns: [text, …]}}]")
    return text


def read_judge_prompt(path: Path, name: str) -> Rubric:
    """Read a judge prompt of `judge_prompts.jsonl`, as a rubric of scores 1 to 10 or of two answers.

    Args:
        path: path of the file.
        name: name of the prompt, as `single-v1` or `pair-v2`.

    Raises:
        InputError: the file cannot be read, has no prompt of that name, or the prompt is for two turns.
    """
    rows = {str(row.values.get("name")): row.values for row in read_rows(path)}
    if name not in rows:
        raise InputError(f"{path} has no judge prompt {name!r}{nearest(name, rows)}")
    if "multi-turn" in name:
        raise InputError(f"{name} judges a conversation of two turns; take {name.removesuffix('-multi-turn')}")
    return rubric_of(_prompt(name, rows[name]))


def _prompt(name: str, row: Mapping[str, Any]) -> Prompt:
    text = re.sub(
        r"\{(\w+)\}", lambda found: "{{ " + _NAMES.get(found[1], found[1]) + " }}", str(row["prompt_template"])
    )
    names = dict.fromkeys(re.findall(r"\{\{ (\w+) \}\}", text))
    return Prompt(
        name=name,
        version="1.0.0",
        purpose=str(row.get("description") or "MT-Bench"),
        variables=tuple(Variable(name=one, description=one) for one in names),
        messages=(
            MessageTemplate(role="system", template=str(row["system_prompt"])),
            MessageTemplate(role="user", template=text),
        ),
        labels=("A", "B", "tie") if row.get("type") == "pairwise" else _SCORES,
        generation=Generation(max_tokens=_LONGEST_VERDICT),
    )
