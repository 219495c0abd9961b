"""Tokens by part: the parts add up to the whole."""

from __future__ import annotations

import pytest

from lavra.prompts.answer import PromptAnswerer
from lavra.prompts.cost import Price
from lavra.prompts.inspection import inspect_prompt
from lavra.prompts.layout import PromptLayout
from lavra.prompts.prompt import Generation
from lavra.prompts.shots import ShotConfig, ShotPool
from tests.prompts.fakes import Characters, KnownModel, example, sentiment

EXAMPLES = [example("a", "good"), example("bb", "bad"), example("c" * 500, "bad")]


def test_the_parts_make_the_whole() -> None:
    layout = PromptLayout(tokenizer=Characters(), num_special=2, context=200)
    prompt = sentiment(labels=(), generation=Generation(max_tokens=20))
    pool = ShotPool(prompt, EXAMPLES, ShotConfig(shots=3))
    answerer = PromptAnswerer(prompt, KnownModel(lambda *_: 0.0), layout, pool=pool)
    found = inspect_prompt(answerer, layout, {"review": "what?"}, Price(input=10.0, output=100.0))
    assert found.num_plain == 2 + len("Review: what?\nSentiment:")
    assert found.variables == {"review": 5}
    assert sorted(found.shots) == [
        len("Review: a\nSentiment: good\n\n"),
        len("Review: bb\nSentiment: bad\n\n"),
    ]
    assert found.num_plain + sum(found.shots) == found.fitted.num_tokens
    assert [one.example for one in found.fitted.left_out] == [EXAMPLES[2]]
    assert found.num_left == 200 - 20 - found.fitted.num_tokens
    assert found.num_answer == 20
    assert found.cost == pytest.approx((10 * found.fitted.num_tokens + 100 * 20) / 1e6)


def test_a_context_without_a_bound_has_nothing_left_to_tell() -> None:
    layout = PromptLayout(tokenizer=Characters())
    answerer = PromptAnswerer(sentiment(), KnownModel(lambda *_: 0.0), layout)
    found = inspect_prompt(answerer, layout, {"review": "x"}, Price())
    assert (found.num_left, found.cost, found.shots) == (None, 0.0, ())
    assert found.num_answer == len(" good")
