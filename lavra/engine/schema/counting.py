"""`minProperties` and `maxProperties`, expressed by naming the properties that are present.

Undeclared names may occur twice in one text, and the last value counts, so that two occurrences are not two properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

from lavra.base.errors import InputError
from lavra.engine.schema.forms import ObjectForm

_MOST_WAYS: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedProperties:
    """An object with a required number of properties.

    Attributes:
        names: declared properties that may be present.
        required: declared properties that must be present.
        open: whether undeclared properties may be present.
        least: fewest properties, if this must be expressed.
        most: most properties, if this must be expressed.
    """

    names: Sequence[str]
    required: Sequence[str]
    open: bool
    least: int = 0
    most: int | None = None


def count_properties(form: ObjectForm, names: Sequence[str], others: bool, where: str) -> list[CountedProperties]:
    """Alternatives that together are equivalent to the object.

    Args:
        form: the object.
        names: declared properties that may be there.
        others: whether others may.
        where: its place, for errors.

    Raises:
        InputError: the number of properties cannot be enforced.
    """
    required = [name for name in names if name in form.required]
    optional = [name for name in names if name not in form.required]
    need = max(0, form.least - len(required))
    left = None if form.most is None else form.most - len(required)
    if left is not None and not others and left >= len(optional):
        left = None
    if not others and need > len(optional):
        raise InputError(
            f"minProperties at {where} is {form.least}, and patternProperties leave no names to write; "
            "declare the properties"
        )
    if left == 0:
        return [CountedProperties(names=required, required=required, open=False)]
    if not need and left is None:
        return [CountedProperties(names=names, required=required, open=others)]
    if others and need > 1:
        raise InputError(
            f"minProperties at {where} is {form.least} and cannot be enforced where any names may come; "
            "declare the properties, or write an array"
        )
    if not optional:
        return [
            CountedProperties(
                names=names, required=required, open=others, least=need + len(required) if need else 0, most=form.most
            )
        ]
    if others:
        raise InputError(
            f"minProperties and maxProperties at {where} cannot be enforced beside properties that are optional; "
            'require them, or write "additionalProperties": false'
        )
    return _ways(required, optional, need, len(optional) if left is None else left, where)


def _ways(required: list[str], optional: list[str], need: int, left: int, where: str) -> list[CountedProperties]:
    """The choices of optional properties; where only the fewest count, the others stay optional."""
    if left >= len(optional):
        counts, exact = [need], False
    else:
        counts, exact = list(range(need, left + 1)), True
    if sum(comb(len(optional), count) for count in counts) > _MOST_WAYS:
        raise InputError(
            f"minProperties and maxProperties at {where} leave more than {_MOST_WAYS} ways to choose; "
            "require properties, or leave the counts out"
        )
    found = []
    for count in counts:
        for chosen in combinations(optional, count):
            there = [*required, *chosen]
            found.append(
                CountedProperties(names=there if exact else [*required, *optional], required=there, open=False)
            )
    return found
