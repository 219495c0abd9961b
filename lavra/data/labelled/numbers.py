"""Numbers as files write them: with a decimal point, or with the decimal comma of half the world's spreadsheets.

All values of a column decide which of the two it has.  A value with the other sign is refused by name: in a
column of decimal commas `1.234` may be one and a bit or a thousand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any

from lavra.data.labelled.tables import UnusableError, shown

_WITH_COMMA = re.compile(r"\s*[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+\s*")
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")


class NumberStyle(Enum):
    """The sign before the fraction of a number."""

    POINT = "decimal points"
    COMMA = "decimal commas"


def find_style(values: Iterable[Any]) -> NumberStyle:
    """The style of a column's numbers: commas where more values have a comma than a point."""
    with_comma = with_point = 0
    for value in values:
        if isinstance(value, str) and _WITH_COMMA.fullmatch(value):
            with_comma += 1
        elif is_number(value, NumberStyle.POINT) and not (isinstance(value, str) and _WHOLE.fullmatch(value)):
            with_point += 1
    return NumberStyle.COMMA if with_comma > with_point else NumberStyle.POINT


def is_number(value: Any, style: NumberStyle = NumberStyle.POINT) -> bool:
    """Whether a field holds a number, as a number or as a text of this style."""
    return _parsed(value, style) is not None


def has_fraction(value: Any) -> bool:
    """Whether a number is written as one that may have a fraction."""
    return isinstance(value, float) or (isinstance(value, str) and not value.strip().lstrip("+-").isdecimal())


def read_number(value: Any, name: str, style: NumberStyle = NumberStyle.POINT) -> float:
    """Read a finite number.

    Raises:
        UnusableError: the value is not a number, or is written in another style than its column.
    """
    found = _parsed(value, style)
    if found is not None and math.isfinite(found):
        return found
    other = NumberStyle.COMMA if style is NumberStyle.POINT else NumberStyle.POINT
    if found is None and is_number(value, other):
        what = f"the {name} is {shown(value)}, with {_one(other)}, and the column has {style.value}"
        raise UnusableError(what, f"write every {name} with {_one(style)}")
    raise UnusableError(f"the {name} is {shown(value)}, not a number", f"write the {name} as a number")


def _one(style: NumberStyle) -> str:
    return f"a {style.value.removesuffix('s')}"


def _parsed(value: Any, style: NumberStyle) -> float | None:
    if not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        return None
    if isinstance(value, str) and style is NumberStyle.COMMA and not _WHOLE.fullmatch(value):
        if not _WITH_COMMA.fullmatch(value):
            return None
        value = value.replace(".", "").replace(",", ".")
    try:
        return float(value)
    except (ValueError, OverflowError):  # a whole number of hundreds of digits is not a float
        return None
