"""Answers against expectations, by all four rules."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.prompts.example import Example, Expect, judge

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)


def expects(expected: Any, rule: str = "equals", **rest: Any) -> Example:
    return Example(input={}, expected=expected, expect=Expect(rule), **rest)


@pytest.mark.parametrize(
    ("rule", "expected", "answer", "holds"),
    [
        ("equals", "yes", " yes\n", True),
        ("equals", "yes", "yes.", False),
        ("equals", "yes", "Yes", False),
        ("contains", "Paris", "It is Paris.", True),
        ("contains", "Paris", "It is paris.", False),
        ("regex", r"^\d+$", " 42 ", True),
        ("regex", r"^\d+$", "42 or so", False),
        ("regex", r"\d", "42 or so", True),
        ("json", {"a": [1, 2]}, '{ "a": [1, 2.0] }', True),
        ("json", {"a": 1, "b": 2}, '{"b": 2, "a": 1}', True),
        ("json", {"a": 1}, '{"a": true}', False),
        ("json", [1, 2], "[2, 1]", False),
        ("json", "x", "x", False),
    ],
)
def test_the_rules(rule: str, expected: Any, answer: str, holds: bool) -> None:
    verdict = judge(expects(expected, rule), answer)
    assert verdict.passed is holds
    assert bool(verdict.why) is not holds


@given(VALUES, VALUES)
def test_json_is_compared_by_value(one: Any, other: Any) -> None:
    """Canonical text is the reference: integers and no floats, so equal values are equal texts."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert judge(expects(one, "json"), json.dumps(other, indent=1)).passed is same
    assert judge(expects(one, "json"), json.dumps(one)).passed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"expected": True}, "expected True is of type bool; write it in quotes, or expect: json"),
        ({"expected": 3, "expect": Expect.CONTAINS}, "expected 3 is of type int"),
        ({"expected": "(", "expect": Expect.REGEX}, "is not a regular expression"),
        ({"expected": "a", "answer": 3}, "answer 3 is of type int"),
        ({"expected": datetime.date(2020, 1, 1), "expect": Expect.JSON}, "holds what JSON cannot"),
    ],
)
def test_an_example_that_could_never_pass_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Example(input={}, **settings)


def test_a_shot_shows_its_input_and_its_answer() -> None:
    assert expects("yes").shown == "yes"
    assert expects({"a": "é"}, "json").shown == '{"a": "é"}'
    assert expects("Par", "contains").shown is None
    assert expects("P.*", "regex").shown is None
    assert expects("Par", "contains", answer="Paris").shown == "Paris"
