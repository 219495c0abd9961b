"""A prompt's own examples as tests."""

from __future__ import annotations

import pytest

from lavra.base.errors import InputError
from lavra.prompts.answer import PromptAnswerer
from lavra.prompts.example import Expect
from lavra.prompts.expectations import run_tests
from lavra.prompts.shots import ShotConfig, ShotPool
from tests.prompts.fakes import LAYOUT, KnownModel, example, sentiment


def echo(prompt: str) -> str:
    """The text after the last `Review: `."""
    return " " + prompt.rpartition("Review: ")[2].partition("\n")[0]


def test_each_example_passes_or_not_with_its_answer() -> None:
    examples = (
        example("same", "same"),
        example("other", "same"),
        example("has same in it", "same", expect=Expect.CONTAINS),
        example("refuse", "refuse"),
    )
    prompt = sentiment(labels=(), examples=examples)
    results = run_tests(PromptAnswerer(prompt, KnownModel(lambda *_: 0.0, written=echo), LAYOUT))
    assert [result.verdict.passed for result in results] == [True, False, True, False]
    assert [result.number for result in results] == [1, 2, 3, 4]
    assert results[1].answer.text == " other"
    assert results[1].verdict.why == "'other' is not 'same'"
    assert results[3].verdict.why == "a prompt says refuse"


def test_an_example_is_never_among_its_own_shots() -> None:
    examples = tuple(example(f"text {n}", "good" if n % 2 else "bad") for n in range(4))
    prompt = sentiment(examples=examples)
    model = KnownModel(lambda *_: -1.0)
    pool = ShotPool(prompt, examples, ShotConfig(shots=3))
    run_tests(PromptAnswerer(prompt, model, LAYOUT, pool=pool))
    prompts = {given for given, _ in model.scored}
    assert len(prompts) == 4
    for given in prompts:
        assert all((given or "").count(f"text {n}") == 1 for n in range(4))  # three shots and the question


def test_a_prompt_without_examples_has_no_tests() -> None:
    with pytest.raises(InputError, match="has no examples to test"):
        run_tests(PromptAnswerer(sentiment(), KnownModel(lambda *_: -1.0), LAYOUT))
