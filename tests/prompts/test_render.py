"""Rendering against plain Jinja and string arithmetic."""

from __future__ import annotations

import jinja2
import pytest

from lavra.base.errors import InputError
from lavra.prompts.example import Expect
from lavra.prompts.render import Rendered, RenderedTurn, render
from tests.prompts.fakes import conversation, example, sentiment

SHOTS = [example("Fine.", "good"), example("Dull {{ x }}.", "bad")]


def test_a_text_is_what_plain_jinja_makes_of_it() -> None:
    prompt = sentiment()
    shots = "".join(f"Review: {shot.input['review']}\nSentiment: {shot.expected}\n\n" for shot in SHOTS)
    expected = jinja2.Template(prompt.template or "").render(shots=shots, review="So <so> & 'so'.")
    assert render(prompt, {"review": "So <so> & 'so'."}, SHOTS) == Rendered(text=expected)
    assert render(prompt, {"review": "x"}).text == "Review: x\nSentiment:"


def test_the_separator_follows_each_shot() -> None:
    found = render(sentiment(shot_separator="\n--\n"), {"review": "x"}, SHOTS).text
    assert found.split("\n--\n") == [
        "Review: Fine.\nSentiment: good",
        "Review: Dull {{ x }}.\nSentiment: bad",
        "Review: x\nSentiment:",
    ]


def test_shots_of_a_conversation_are_turns_before_the_last() -> None:
    found = render(conversation(), {"review": "x"}, SHOTS)
    assert found.turns == (
        RenderedTurn(role="system", content="Good or bad?"),
        RenderedTurn(role="user", content="Fine."),
        RenderedTurn(role="assistant", content="good"),
        RenderedTurn(role="user", content="Dull {{ x }}."),
        RenderedTurn(role="assistant", content="bad"),
        RenderedTurn(role="user", content="x"),
    )
    assert found.messages[0] == {"role": "system", "content": "Good or bad?"}
    assert render(conversation(), {"review": "x"}).turns == (found.turns[0], found.turns[-1])
    assert str(found).startswith("[system]\nGood or bad?\n[user]\nFine.")


def test_an_example_that_cannot_be_a_shot_is_refused() -> None:
    free = sentiment(labels=())
    with pytest.raises(InputError, match="expects contains 'oo' has no answer to show"):
        render(free, {"review": "x"}, [example("y", "oo", expect=Expect.CONTAINS)])
    shown = render(free, {"review": "x"}, [example("y", "oo", expect=Expect.CONTAINS, answer="good")]).text
    assert shown.startswith("Review: y\nSentiment: good\n\n")
    silent = sentiment(template="{{ review }}", example_template=None)
    with pytest.raises(InputError, match="says nowhere how a shot is written"):
        render(silent, {"review": "x"}, SHOTS)


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="variable 'review' has no value"):
        render(sentiment(), {})
    with pytest.raises(InputError, match="of type int"):
        render(sentiment(), {"review": 3})
