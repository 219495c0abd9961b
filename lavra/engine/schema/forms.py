"""Forms: a schema with references followed and parts merged becomes alternatives, each of one type.

A key stands for several schemas that hold at once; `lavra.engine.schema.conjunction` makes the forms of a key, and
whether a value satisfies a form is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lavra.engine.schema.patterns import found_in
from lavra.engine.schema.spots import Spot

SpotKey = tuple[Spot, ...]  # schemas that hold at once; without any, everything is allowed
Matches = Callable[[Any, SpotKey], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaForm:
    """An alternative of a schema.

    Attributes:
        nots: schemas that must not hold; values can be checked against them, but text cannot be constrained by them.
        hindrance: reason why the form cannot be enforced; empty if it can.
    """

    nots: tuple[SpotKey, ...] = ()
    hindrance: str = ""

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value satisfies the form, without its `nots`."""
        raise NotImplementedError

    def admits(self, value: Any, matches: Matches) -> bool:
        """Whether a value satisfies the form.

        Raises:
            InputError: a pattern cannot be compared.
        """
        return self.fits(value, matches) and not any(matches(value, key) for key in self.nots)


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueForm(SchemaForm):
    """A list of values, of any type.

    Attributes:
        values: all allowed values.
    """

    values: tuple[Any, ...]

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value is one of the listed values."""
        return same_as(value) in map(same_as, self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberForm(SchemaForm):
    """A form of numbers.

    Attributes:
        integer: without a fraction.
        low: the least one, or the bound below.
        low_open: the bound itself is not allowed.
        high: the greatest one, or the bound above.
        high_open: the bound itself is not allowed.
        step: all are multiples of it.
    """

    integer: bool = False
    low: Fraction | None = None
    low_open: bool = False
    high: Fraction | None = None
    high_open: bool = False
    step: Fraction | None = None

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value is a number within the bounds."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        exact = exactly(value)
        if self.integer and exact.denominator != 1:
            return False
        if self.low is not None and (exact < self.low or (exact == self.low and self.low_open)):
            return False
        if self.high is not None and (exact > self.high or (exact == self.high and self.high_open)):
            return False
        return self.step is None or (exact / self.step).denominator == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TextForm(SchemaForm):
    """A form of strings.

    Attributes:
        least: fewest characters.
        most: most characters.
        patterns: patterns that must all be found in a string.
    """

    least: int = 0
    most: int | None = None
    patterns: tuple[str, ...] = ()

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value is a string of an allowed length that matches the patterns."""
        if not isinstance(value, str) or len(value) < self.least:
            return False
        if self.most is not None and len(value) > self.most:
            return False
        return all(found_in(pattern, value) for pattern in self.patterns)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayForm(SchemaForm):
    """A form of arrays.

    Attributes:
        first: keys of the first items, in order.
        rest: key of the items after them.
        least: fewest items.
        most: most items.
        unique: whether no two items are equal.
        contains: keys that some items must satisfy, with the fewest and the most of them.
    """

    first: tuple[SpotKey, ...] = ()
    rest: SpotKey = ()
    least: int = 0
    most: int | None = None
    unique: bool = False
    contains: tuple[tuple[SpotKey, int, int | None], ...] = ()

    def item(self, number: int) -> SpotKey:
        """The key of an item."""
        return self.first[number] if number < len(self.first) else self.rest

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value is an array of such items."""
        if not isinstance(value, list) or len(value) < self.least:
            return False
        if self.most is not None and len(value) > self.most:
            return False
        if self.unique and len(set(map(same_as, value))) < len(value):
            return False
        for key, few, many in self.contains:
            count = sum(matches(one, key) for one in value)
            if count < few or (many is not None and count > many):
                return False
        return all(matches(one, self.item(number)) for number, one in enumerate(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectForm(SchemaForm):
    """A form of objects.

    Attributes:
        properties: keys of the named properties, in the order they are written.
        patterns: keys of the properties whose names match.
        rest: key of all other properties.
        required: names that must be present.
        least: fewest properties.
        most: most properties.
        names: key that every name must satisfy.
    """

    properties: Mapping[str, SpotKey]
    patterns: Mapping[str, SpotKey]
    rest: SpotKey = ()
    required: frozenset[str] = frozenset()
    least: int = 0
    most: int | None = None
    names: SpotKey = ()

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value is an object of such properties."""
        if not isinstance(value, dict) or not self.required <= set(value) or len(value) < self.least:
            return False
        if self.most is not None and len(value) > self.most:
            return False
        return all(matches(name, self.names) and self._has(name, one, matches) for name, one in value.items())

    def _has(self, name: str, value: Any, matches: Matches) -> bool:
        if name in self.properties:
            return matches(value, self.properties[name])
        keys = [key for pattern, key in self.patterns.items() if found_in(pattern, name)]
        return all(matches(value, key) for key in keys or [self.rest])


def exactly(number: Any) -> Fraction:
    """A number as it is written: 0.1 is a tenth."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def same_as(value: Any) -> str:
    """A text that equal values share, in JSON Schema's sense: 1 equals 1.0, but true does not equal 1."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value
