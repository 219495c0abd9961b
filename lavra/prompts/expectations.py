"""The tests of a prompt: its examples put to a model, each answer compared with the expected one.

An example under test is never among its own shots.
"""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.prompts.answer import PromptAnswer, PromptAnswerer
from lavra.prompts.example import Example, Verdict, judge


@dataclass(frozen=True, kw_only=True)
class ExampleResult:
    """An example and the model's answer to it.

    Attributes:
        number: place of the example in the file, from 1.
        example: the example.
        answer: the model's answer.
        verdict: whether the answer is as expected.
    """

    number: int
    example: Example
    answer: PromptAnswer
    verdict: Verdict


def run_tests(answerer: PromptAnswerer, progress: Progress | None = None) -> tuple[ExampleResult, ...]:
    """Put every example of a prompt to its model, in the file's order; an example without an answer has not passed.

    Raises:
        InputError: the prompt has no examples.
    """
    examples = answerer.prompt.examples
    if not examples:
        raise InputError(f"{answerer.prompt} has no examples to test; add `examples` with input and expected")
    answers = answerer.answers([example.input for example in examples], progress)
    return tuple(
        ExampleResult(number=number, example=example, answer=answer, verdict=verdict_of(example, answer))
        for number, (example, answer) in enumerate(zip(examples, answers, strict=True), start=1)
    )


def verdict_of(example: Example, answer: PromptAnswer) -> Verdict:
    """Judge an answer; a missing answer has not passed."""
    return Verdict(passed=False, why=answer.failure) if answer.text is None else judge(example, answer.text)
