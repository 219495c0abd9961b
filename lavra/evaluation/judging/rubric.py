"""Rubrics, the prompts for a judge: a question with one answer to be scored, or with two answers to be compared.

A rubric is a prompt file (`lavra.prompts`).  Its labels are the possible verdicts: whole numbers, or `A`, `B` and
`tie`.  Its variables are `question`, and `answer`, or `answer_a` and `answer_b`; `reference` is optional.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path

from lavra.base.errors import ConfigError
from lavra.base.types import Constraint, ConstraintKind
from lavra.prompts.prompt import Prompt
from lavra.prompts.prompt_file import read_prompt

RUBRICS = ("quality", "preference")
"""Names of the rubrics that lavra ships."""
REASON_CHARACTERS = 600
_USUAL_SCORES = (1, 5)
_SINGLE, _PAIR = {"question", "answer"}, {"question", "answer_a", "answer_b"}
_OPTIONAL = {"reference"}
_PREFERENCES = {"A", "B", "tie"}


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """A prompt for a judge.

    Attributes:
        prompt: prompt from the rubric's file.
        lowest: lowest score; 0 if two answers are compared.
        highest: highest score; 0 if two answers are compared.
    """

    prompt: Prompt
    lowest: int
    highest: int

    @property
    def is_pairwise(self) -> bool:
        """Whether the rubric compares two answers."""
        return not self.highest

    @property
    def takes_reference(self) -> bool:
        """Whether the rubric shows a reference, if the question has one."""
        return any(variable.name == "reference" for variable in self.prompt.variables)

    @property
    def constraint(self) -> Constraint | None:
        """The constraint on the judge's text, `None` for a prompt that asks for a verdict in brackets."""
        if "[[" in str(self.prompt.template) + str(self.prompt.messages):
            return None
        key: str = "score"
        verdict: dict[str, object] = {"type": "integer", "minimum": self.lowest, "maximum": self.highest}
        if self.is_pairwise:
            key, verdict = "winner", {"enum": ["A", "B", "tie"]}
        reason = {"type": "string", "maxLength": REASON_CHARACTERS}
        schema = {
            "type": "object",
            "properties": {
                "reason": reason,
                key: verdict,
            },  # the reason comes first, so that the verdict rests on it
            "required": ["reason", key],
            "additionalProperties": False,
        }
        return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(schema))


def open_rubric(name: str) -> Rubric:
    """Open a rubric that lavra ships, by its name, or a rubric file.

    Raises:
        ConfigError: no rubric has that name, the file is not a prompt, or its variables or labels are not those of a
            rubric.
    """
    if name in RUBRICS:
        return rubric_of(read_prompt(Path(str(importlib.resources.files(__package__))) / "rubrics" / f"{name}.yaml"))
    if not Path(name).is_file():
        raise ConfigError(f"{name!r} is neither a rubric ({', '.join(RUBRICS)}) nor a file; name one of the two")
    return rubric_of(read_prompt(Path(name)))


def rubric_of(prompt: Prompt) -> Rubric:
    """Turn a prompt into a rubric.

    Raises:
        ConfigError: its variables or labels are not those of a rubric.
    """
    names = {variable.name for variable in prompt.variables}
    wanted = names - _OPTIONAL
    if wanted not in (_SINGLE, _PAIR):
        raise ConfigError(
            f"{prompt} has the variables {', '.join(sorted(names)) or 'none'}; a rubric has question and answer, or "
            "question, answer_a and answer_b, and optionally reference"
        )
    if wanted == _PAIR:
        if prompt.labels and set(prompt.labels) != _PREFERENCES:
            raise ConfigError(f"{prompt} has the labels {', '.join(prompt.labels)}; of two answers write A, B and tie")
        return Rubric(prompt=prompt, lowest=0, highest=0)
    lowest, highest = _scores(prompt)
    return Rubric(prompt=prompt, lowest=lowest, highest=highest)


def _scores(prompt: Prompt) -> tuple[int, int]:
    if not prompt.labels:
        return _USUAL_SCORES
    if not all(label.isascii() and label.isdecimal() for label in prompt.labels):
        raise ConfigError(f"{prompt} has the labels {', '.join(prompt.labels)}; scores are whole numbers, as 1 to 5")
    numbers = sorted(int(label) for label in prompt.labels)
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise ConfigError(f"{prompt} has the scores {', '.join(map(str, numbers))}; leave none out between them")
    return numbers[0], numbers[-1]
