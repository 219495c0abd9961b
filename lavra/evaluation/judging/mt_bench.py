"""MT-Bench (Zheng et al. 2023, arXiv:2306.05685): its questions and judge prompts, in FastChat's files.

Its judge prompts become rubrics; those for a second turn show a whole conversation, and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError, nearest
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
        question_id: its number, as text.
        category: writing, math, …
        turns: what the user says, turn by turn.
        reference: right answers to the turns, where it has some.
    """

    question_id: str
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] = ()


def read_questions(path: Path) -> list[ChatQuestion]:
    """The questions of `question.jsonl`.

    Raises:
        InputError: it cannot be read, or a line is no question; the message names the line.
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


def read_judge_prompt(path: Path, name: str) -> Rubric:
    """A judge prompt of `judge_prompts.jsonl`, as a rubric of scores 1 to 10 or of two answers.

    Args:
        path: the file.
        name: of the prompt, as `single-v1` or `pair-v2`.

    Raises:
        InputError: the file cannot be read, has no prompt of that name, or it is one for two turns.
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
