"""The tests a prompt carries: its examples put to a model, each answer held against what is expected.

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
    """One example and what the model made of it.

    Attributes:
        number: of the example in the file, from 1.
        example: the example.
        answer: what came out.
        verdict: whether that is what was expected.
    """

    number: int
    example: Example
    answer: PromptAnswer
    verdict: Verdict


def run_tests(answerer: PromptAnswerer, progress: Progress | None = None) -> tuple[ExampleResult, ...]:
    """Put every example of a prompt to its model, in the order of the file; one that gets no answer has not passed.

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
    """Whether an answer is what was expected; none is not."""
    return Verdict(passed=False, why=answer.failure) if answer.text is None else judge(example, answer.text)
