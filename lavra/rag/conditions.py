"""Conditions on documents as people type them: `language=pt`, `year>=2020`, `tag~news,law`."""

from __future__ import annotations

import re
from typing import Final

from lavra.base.errors import InputError
from lavra.base.retrieval import Condition, Operator

_CONDITION: Final = re.compile(r"\s*(?P<field>[\w.-]+)\s*(?P<sign>!=|>=|<=|=|>|<|~)(?P<value>.*)", re.DOTALL)
_SIGNS: Final = {
    "=": Operator.EQUAL,
    "!=": Operator.NOT_EQUAL,
    ">=": Operator.AT_LEAST,
    "<=": Operator.AT_MOST,
    ">": Operator.OVER,
    "<": Operator.UNDER,
    "~": Operator.HAS_ANY,
}
_SEVERAL: Final = {Operator.EQUAL: Operator.IN, Operator.NOT_EQUAL: Operator.NOT_IN}
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?")


def read_condition(text: str) -> Condition:
    """Read a condition.

    A value that looks like a number becomes a number; `=` and `!=` then also compare it as text, because a fact may be
    either.  Commas between values mean any of them.

    >>> read_condition("year>=2020")
    Condition(field='year', operator=<Operator.AT_LEAST: 'gte'>, value=2020)

    Raises:
        InputError: the text is not a condition.
    """
    found = _CONDITION.fullmatch(text)
    if found is None or not found["value"].strip():
        raise InputError(
            f"{text!r} is not a condition; write a field, one of {' '.join(_SIGNS)} and a value, such as language=pt "
            "or year>=2020"
        )
    operator, value = _SIGNS[found["sign"]], found["value"].strip()
    if operator is Operator.HAS_ANY:
        return Condition(field=found["field"], operator=operator, value=tuple(_parts(value)))
    if operator not in _SEVERAL:
        return Condition(field=found["field"], operator=operator, value=_value(value))
    values = [either for part in _parts(value) for either in dict.fromkeys((_value(part), part))]
    if len(values) == 1:
        return Condition(field=found["field"], operator=operator, value=values[0])
    return Condition(field=found["field"], operator=_SEVERAL[operator], value=tuple(values))


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _value(text: str) -> str | int | float:
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)
