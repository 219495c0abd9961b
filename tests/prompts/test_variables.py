"""Typed variables: a wrong type is refused by name, never converted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.prompts.variables import Variable, VariableType, typed_values

PLAIN = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.lists(st.text()))
# Type by type, with Python's bool kept apart from its int.
TAKES = {
    VariableType.STR: lambda value: type(value) is str,
    VariableType.INT: lambda value: type(value) is int,
    VariableType.FLOAT: lambda value: type(value) in (int, float),
    VariableType.BOOL: lambda value: type(value) is bool,
    VariableType.LIST: lambda value: type(value) is list,
}


def variable(kind: VariableType = VariableType.STR, **rest: Any) -> Variable:
    return Variable(name="thing", description="some thing", type=kind, **rest)


@given(st.sampled_from(VariableType), PLAIN)
def test_a_value_is_taken_as_it_is_or_refused_by_name(kind: VariableType, value: Any) -> None:
    if TAKES[kind](value):
        assert typed_values([variable(kind)], {"thing": value}) == {"thing": value}
    else:
        with pytest.raises(InputError, match=f"variable 'thing' is .*, of type {type(value).__name__}; it takes"):
            typed_values([variable(kind)], {"thing": value})


def test_a_list_holds_plain_values_only() -> None:
    with pytest.raises(InputError, match="of str, int, float and bool"):
        variable(VariableType.LIST).check([[1]])


def test_missing_and_unknown_variables_are_named() -> None:
    with pytest.raises(InputError, match="variable 'thing' has no value; it is: some thing"):
        typed_values([variable()], {})
    with pytest.raises(InputError, match="no variable 'thng'; did you mean 'thing'"):
        typed_values([variable()], {"thng": "a"})
    with pytest.raises(InputError, match="this prompt has no variables"):
        typed_values([], {"thng": "a"})


def test_defaults_stand_in_and_choices_bind() -> None:
    chosen = variable(choices=("short", "long"), default="short")
    assert typed_values([chosen], {}) == {"thing": "short"}
    assert typed_values([variable(VariableType.BOOL, default=False)], {}) == {"thing": False}
    with pytest.raises(InputError, match="'lang'; did you mean 'long'"):
        typed_values([chosen], {"thing": "lang"})
    assert not chosen.is_free_text
    assert variable().is_free_text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "2x"}, "cannot be a variable"),
        ({"name": "_x"}, "cannot be a variable"),
        ({"name": "for"}, "cannot be a variable"),
        ({"name": "shots"}, "is taken"),
        ({"name": "expected"}, "is taken"),
        ({"type": VariableType.INT, "default": "3"}, "default does not fit"),
        ({"choices": ("a",), "default": "b"}, "default does not fit"),
        ({"type": VariableType.INT, "choices": (1, True)}, "choice True of 'thing' is not of type int"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Variable(**{"name": "thing", "description": "some thing", **settings})


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (VariableType.STR, "3", "3"),
        (VariableType.INT, "3", 3),
        (VariableType.FLOAT, "1e-3", 0.001),
        (VariableType.BOOL, "no", False),
        (VariableType.LIST, "[a, 2]", ["a", 2]),
    ],
)
def test_typed_text_is_read_as_the_variables_type(kind: VariableType, text: str, value: Any) -> None:
    assert variable(kind).read(text) == value
    assert type(variable(kind).read(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(VariableType.INT, "3.5"), (VariableType.BOOL, "2"), (VariableType.LIST, "a"), (VariableType.LIST, "[")],
)
def test_typed_text_that_spells_something_else_is_refused(kind: VariableType, text: str) -> None:
    with pytest.raises(ConfigError, match="variable 'thing'"):
        variable(kind).read(text)
