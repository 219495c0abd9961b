"""The budget is never exceeded, and kept and omitted examples together are the pool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, ContextLengthError
from lavra.prompts.budget import Budget, fit_shots
from lavra.prompts.render import render
from lavra.prompts.select import ShotOrder
from tests.prompts.fakes import LAYOUT, conversation, example, sentiment

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
COUNT = LAYOUT.num_tokens  # a token a character


@given(
    st.lists(TEXTS, max_size=6),
    TEXTS,
    st.integers(10, 400),
    st.integers(0, 9),
    st.sampled_from(ShotOrder),
    st.sampled_from([sentiment(), conversation()]),
)
def test_the_context_is_never_exceeded_and_nothing_is_lost(texts, asked, context, reserved, order, prompt) -> None:
    shots = [example(text, "good") for text in texts]
    budget = Budget(context=context, reserved=reserved)
    given_ = {"review": asked}
    alone = COUNT(render(prompt, given_))
    if alone > context - reserved:
        with pytest.raises(ContextLengthError, match=f"has {alone} tokens .* {context}"):
            fit_shots(prompt, given_, shots, count=COUNT, budget=budget, order=order)
        return
    found = fit_shots(prompt, given_, shots, count=COUNT, budget=budget, order=order)
    assert found.num_tokens == COUNT(found.rendered) <= context - reserved
    assert sorted([*found.kept, *(one.index for one in found.left_out)]) == list(range(len(shots)))
    assert all(one.example is shots[one.index] for one in found.left_out)
    standing = [shots[index] for index in found.kept]
    assert list(found.shots) == (standing if order is ShotOrder.BEST_FIRST else standing[::-1])
    assert found.rendered == render(prompt, given_, found.shots)  # whole shots and the whole question
    for one in found.left_out:  # none of them would have fitted beside the better ones
        better = [index for index in found.kept if index < one.index]
        tried = COUNT(render(prompt, given_, [shots[index] for index in [*better, one.index]]))
        assert tried > context - reserved
        assert f"{tried} tokens" in one.why


def test_a_long_shot_leaves_room_for_a_shorter_one() -> None:
    shots = [example("a", "good"), example("b" * 500, "bad"), example("c", "bad")]
    found = fit_shots(sentiment(), {"review": "x"}, shots, count=COUNT, budget=Budget(context=120, reserved=10))
    assert found.kept == (0, 2)
    assert [one.index for one in found.left_out] == [1]
    assert "over the 110 that a context of 120 leaves beside 10 of the answer" in found.left_out[0].why


def test_strictly_a_shot_that_does_not_fit_is_an_error() -> None:
    shots = [example("a", "good"), example("b" * 500, "bad"), example("c" * 500, "bad")]
    with pytest.raises(ContextLengthError, match=r"of 3 shots, best first, number 2, 3 does not fit: with it .* 120"):
        fit_shots(sentiment(), {"review": "x"}, shots, count=COUNT, budget=Budget(context=120, strict=True))
    fit_shots(sentiment(), {"review": "x"}, shots[:1], count=COUNT, budget=Budget(context=120, strict=True))


def test_without_a_bound_everything_fits() -> None:
    shots = [example("b" * 5000, "bad")] * 3
    found = fit_shots(sentiment(), {"review": "x"}, shots, count=COUNT, budget=Budget(context=None))
    assert found.kept == (0, 1, 2)


def test_an_answer_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="reserved=10 leaves nothing of a context of 10"):
        Budget(context=10, reserved=10)
    with pytest.raises(ConfigError, match="reserved=-1 is under 0"):
        Budget(context=10, reserved=-1)
