"""Conditions on passages, as requests write them.

    {"language": "pt", "year": {"gte": 2020, "lt": 2024}, "tag": {"in": ["news", "law"]}, "groups": {"any": ["a"]}}

A value alone must be equal; an object has one comparison or several, which all hold.
The comparisons are those of `Operator`.
The index knows its fields and refuses others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lavra.base.errors import InputError, nearest
from lavra.base.retrieval import Condition, Operator, Where

_OPERATORS: Final = {operator.value: operator for operator in Operator}
_SEVERAL: Final = (Operator.IN, Operator.NOT_IN, Operator.HAS_ANY)
MOST_VALUES: Final = 1000
"""Values of one comparison."""


def read_where(given: Mapping[str, Any]) -> Where:
    """Conditions of a request's `where`.

    Raises:
        InputError: a comparison is unknown, or its value is of the wrong kind.
    """
    return tuple(condition for field, wanted in given.items() for condition in _conditions(field, wanted))


def _conditions(field: str, wanted: object) -> Iterator[Condition]:
    if not isinstance(wanted, Mapping):
        yield Condition(field=field, operator=Operator.EQUAL, value=_single(field, Operator.EQUAL, wanted))
        return
    if not wanted:
        raise InputError(f'where.{field} is an empty object; write a comparison, such as {{"gte": 2020}}')
    for name, value in wanted.items():
        operator = _OPERATORS.get(name)
        if operator is None:
            raise InputError(
                f"where.{field}: {name!r} is not a comparison{nearest(name, _OPERATORS)}; there are "
                f"{', '.join(_OPERATORS)}"
            )
        several = operator in _SEVERAL
        read = _list(field, operator, value) if several else _single(field, operator, value)
        yield Condition(field=field, operator=operator, value=read)


def _single(field: str, operator: Operator, value: object) -> str | int | float | bool:
    if isinstance(value, str | int | float):  # a bool is an int
        return value
    remedy = f'; write {{"in": {_shown(value)}}} for one of several' if isinstance(value, list) else ""
    raise InputError(
        f"where.{field} ({operator.value}) is {_shown(value)}; give a string, a number, true or false{remedy}"
    )


def _list(field: str, operator: Operator, value: object) -> tuple[str | int | float, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str | int | float) for one in value):
        raise InputError(
            f"where.{field}: {operator.value!r} is given {_shown(value)}; give a list of strings or numbers"
        )
    if len(value) > MOST_VALUES:
        raise InputError(f"where.{field}: {operator.value!r} has {len(value)} values; give {MOST_VALUES} at most")
    return tuple(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
