"""A prompt that could not be rendered is never created."""

from __future__ import annotations

from typing import Any

import pytest

from lavra.base.errors import ConfigError
from lavra.prompts.example import Expect
from lavra.prompts.prompt import Generation, MessageTemplate, Prompt
from lavra.prompts.variables import Variable
from tests.prompts.fakes import REVIEW, conversation, example, sentiment

TURN = MessageTemplate(role="user", template="{{ review }}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "name: 'a b' is not a name"),
        ({"version": "1.0"}, "version: '1.0' is not a semantic version"),
        ({"version": "01.0.0"}, "version: '01.0.0' is not a semantic version"),
        ({"purpose": " "}, "purpose: is empty"),
        ({"template": None}, "template: a prompt has either template or messages"),
        ({"messages": (TURN,)}, "template: a prompt has either template or messages"),
        ({"example_messages": (TURN,)}, "example_messages: turns need a conversation"),
        ({"variables": (REVIEW, REVIEW)}, r"variables\[1\].name: 'review' is declared twice"),
        ({"variables": (REVIEW, Variable(name="range", description="x"))}, "'range' is a name of Jinja's own"),
        ({"template": "{{ shots }}\n{{ reviw }}"}, "template: line 2: names 'reviw', .*did you mean 'review'"),
        ({"template": "{{ shots }}{{ expected }}"}, "template: line 1: names 'expected'"),
        ({"example_template": "{{ shots }}"}, "example_template: line 1: names 'shots'"),
        ({"example_template": "{% if %}"}, "example_template: line 1: is not valid Jinja"),
        ({"example_template": None}, "template: names 'shots', and nothing says how one is written"),
        ({"template": "{{ review }}"}, "template: says nowhere where the shots go"),
        ({"labels": ("good",)}, "labels: there is one alone"),
        ({"labels": ("good", "good")}, r"labels\[1\]: 'good' stands there twice"),
        ({"labels": ("good", " bad")}, r"labels\[1\]: ' bad' is empty or has white space"),
        ({"examples": (example("x", "god"),)}, r"examples\[0\].expected: 'god' is not a label; did you mean 'good'"),
        ({"examples": (example("x", "good", expect=Expect.CONTAINS),)}, r"examples\[0\].expect: is contains"),
        ({"examples": (example("x", "good"), example(3, "bad"))}, r"examples\[1\].input: variable 'review' is 3"),
    ],
)
def test_contradictions_are_refused_with_their_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}" if not message.startswith("'") else message):
        sentiment(**changes)


@pytest.mark.parametrize("version", ["0.0.0", "1.2.3-rc.1+build.5", "10.20.30"])
def test_semantic_versions(version: str) -> None:
    assert str(sentiment(version=version)) == f"sentiment@{version}"


def test_a_conversation_writes_shots_one_way() -> None:
    with pytest.raises(ConfigError, match="example_messages: example_template writes shots too"):
        conversation().__class__(
            name="a", version="1.0.0", purpose="b", variables=(REVIEW,), messages=(TURN,),
            example_messages=(TURN,), example_template="{{ review }}",
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"messages\[0\].template: line 1: names 'reviw'"):
        Prompt(
            name="a", version="1.0.0", purpose="b", messages=(MessageTemplate(role="user", template="{{ reviw }}"),),
            variables=(REVIEW,),
        )  # fmt: skip


def test_variables_that_no_template_names_are_known() -> None:
    other = Variable(name="other", description="x", default="y")
    assert sentiment().unused == ()
    assert sentiment(variables=(REVIEW, other)).unused == ("other",)
    named = sentiment(variables=(REVIEW, other), example_template="{{ other }}{{ expected }}")
    assert named.unused == ()


def test_the_fingerprint_is_that_of_everything_in_it() -> None:
    assert sentiment().fingerprint == sentiment().fingerprint
    changed = [sentiment(version="1.0.1"), sentiment(shot_separator="\n"), sentiment(examples=(example("a", "good"),))]
    assert len({one.fingerprint for one in [sentiment(), *changed]}) == 4


def test_the_lead_is_a_space_after_a_text_and_nothing_in_a_conversation() -> None:
    assert (sentiment().lead, conversation().lead, sentiment(answer_prefix="\n").lead) == (" ", "", "\n")


@pytest.mark.parametrize("settings", [{"max_tokens": 0}, {"temperature": -1.0}, {"stop": ("",)}])
def test_generation_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Generation(**settings)
