"""Language models that judge in a known way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from lavra.base.errors import ContextLengthError, InputError
from lavra.base.types import Completion, GenerateRequest

Verdict = Callable[[str], str]


class ScriptedJudge:
    """Writes what a function makes of a prompt.

    Args:
        verdict: function from a prompt to the written verdict.
        constrained: whether it accepts a constraint.
        context: greatest number of characters in a prompt.
    """

    def __init__(self, verdict: Verdict, *, constrained: bool = True, context: int = 10**9) -> None:
        self.verdict, self.constrained, self.context = verdict, constrained, context
        self.requests: list[GenerateRequest] = []

    def score(self, requests: Sequence[object]) -> list[Any]:
        raise AssertionError("a judge writes")

    def submit(self, request: GenerateRequest) -> Any:
        raise AssertionError("a judge is not streamed")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        for request in requests:
            if request.constraint is not None and not self.constrained:
                raise InputError("constraint is for the engine; leave it out")
            if len(request.prompt) > self.context:
                raise ContextLengthError(f"the prompt has {len(request.prompt)} characters")
        self.requests += requests
        return [[Completion(text=self.verdict(str(request.prompt)))] for request in requests]


def parts(prompt: str) -> dict[str, str]:
    """Texts between the marks of lavra's rubrics."""
    return {name: text.strip() for name, text in re.findall(r"<(\w+)>\n(.*?)</\1>", prompt, re.DOTALL)}


def longer(prompt: str) -> str:
    """The longer answer wins."""
    found = parts(prompt)
    difference = len(found["answer_a"]) - len(found["answer_b"])
    return json.dumps({"reason": "length", "winner": "tie" if not difference else "A" if difference > 0 else "B"})


def first_shown(prompt: str) -> str:
    """The answer shown first wins."""
    return 'I like it. {"reason": "first", "winner": "A"}'
