"""Labels as files write them, and the kind of problem they pose.

The kind is seen from all labels together: lists are sets of labels; numbers written with a fraction (or floats) are to
be predicted as numbers; anything else names a class.  A `0` and a `1` are names unless the user chooses regression.
One odd label decides nothing: among numbers it is left out, and among names it is a name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lavra.base.tasks import Problem
from lavra.data.labelled.numbers import NumberStyle, find_style, has_fraction, is_number, read_number
from lavra.data.labelled.samples import Label
from lavra.data.labelled.tables import UnusableError, shown

SEPARATORS = ("|", ";", ",")
FEW = 10  # whole floats with no more values than this may be classes
MOST = 0.9  # share of numbers from which other labels count as mistakes
_FILL_IN = "fill the label in, or delete the sample"


@dataclass(frozen=True, kw_only=True)
class LabelReader:
    """Reads labels of one kind.

    Attributes:
        problem: the kind.
        separator: the separator of labels within a cell, where a text holds several.
        style: the style of numbers.
        doubt: a sentence for the user, where the kind could be another one.
        meant: the other kind.
    """

    problem: Problem
    separator: str = ""
    style: NumberStyle = NumberStyle.POINT
    doubt: str = ""
    meant: Problem = Problem.SINGLE_LABEL

    def read(self, value: Any) -> Label:
        """The label a field holds.

        Raises:
            UnusableError: there is none, or it is not of this kind.
        """
        if self.problem is Problem.MULTI_LABEL:
            return self._several(value)
        if is_empty(value):
            raise UnusableError("the label is empty", _FILL_IN)
        if self.problem is Problem.REGRESSION:
            return read_number(value, "label", self.style)
        return name_of(value[0] if isinstance(value, list) and len(value) == 1 else value)

    def _several(self, value: Any) -> tuple[str, ...]:
        if value is None:
            raise UnusableError("the labels are missing", "write [] where no label holds")
        names = self._parted(value) if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            raise UnusableError(f"the labels are {shown(value)}, not a list", "write labels as a list of names")
        if len({type(one) for one in names} & {int, float, bool}) and len(set(names)) < len(names):
            raise UnusableError(
                f"the labels {shown(value)} name one twice", "write the names of the labels that hold, not 0 and 1"
            )
        return tuple(dict.fromkeys(name_of(one) for one in names))

    def _parted(self, text: str) -> list[Any]:
        if text.lstrip().startswith("["):
            return _json_list(text) or []
        parts = text.split(self.separator) if self.separator else [text]
        return [part.strip() for part in parts if part.strip()]


def find_reader(values: Iterable[Any], problem: Problem | None) -> LabelReader:
    """The reader for the labels of a file.

    Args:
        values: every label as it is written; empty labels are skipped.
        problem: the kind that the user gave.
    """
    given = [value for value in values if not is_empty(value)]
    if problem is Problem.MULTI_LABEL:
        texts = [value for value in given if isinstance(value, str) and not value.lstrip().startswith("[")]
        separator = next((one for one in SEPARATORS if any(one in text for text in texts)), "")
        return LabelReader(problem=problem, separator=separator)
    style = find_style(given)
    if problem is not None:
        return LabelReader(problem=problem, style=style)
    lists = [value for value in given if isinstance(value, list) or _json_list(value) is not None]
    if len(lists) * 2 > len(given):
        return _of_lists(lists)
    numbers = [value for value in given if is_number(value, style)]
    if numbers and _are_to_predict(numbers, len(given)):
        return LabelReader(problem=Problem.REGRESSION, style=style, doubt=_doubt(numbers, style))
    return LabelReader(problem=Problem.SINGLE_LABEL)


def _of_lists(lists: list[Any]) -> LabelReader:
    """Sets of labels; those of one each are doubted, for doccano writes a single label so."""
    if any(len(_json_list(value) or [] if isinstance(value, str) else value) != 1 for value in lists):
        return LabelReader(problem=Problem.MULTI_LABEL)
    doubt = "every list of labels has one, and each label is learnt by itself, as if several could hold"
    return LabelReader(problem=Problem.MULTI_LABEL, doubt=doubt)


def _are_to_predict(numbers: list[Any], count: int) -> bool:
    """Whether labels are numbers to be predicted: all of them, or nearly all and with fractions."""
    if not any(has_fraction(value) for value in numbers):
        return False
    if len(numbers) == count:
        return True
    return len(numbers) >= MOST * count and any(not _value(value).is_integer() for value in numbers)


def _doubt(numbers: list[Any], style: NumberStyle) -> str:
    if style is NumberStyle.COMMA:
        first = next(value for value in numbers if isinstance(value, str) and "," in value)
        return f"labels such as {first!r} are read as numbers with a decimal comma, to be predicted"
    distinct = {_value(value) for value in numbers}
    if len(distinct) > FEW or not all(value.is_integer() for value in distinct):
        return ""
    return (
        f"labels are written as floats but take {len(distinct)} whole values only, and are read as numbers to predict"
    )


def _value(value: Any) -> float:
    return float(value.replace(".", "").replace(",", ".")) if isinstance(value, str) and "," in value else float(value)


def is_empty(value: Any) -> bool:
    """Whether a field is empty."""
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )


def name_of(value: Any) -> str:
    """The name of a class.

    Raises:
        UnusableError: it is neither a text nor a whole number nor true or false.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise UnusableError(f"the label is {shown(value)}", "write a label as a name")


def _json_list(value: Any) -> list[Any] | None:
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None
