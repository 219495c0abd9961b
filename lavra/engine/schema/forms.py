"""What is left of a schema once references are followed and its parts are put together: alternatives, each of one type.

A key stands for several schemas that hold at once; `lavra.engine.schema.conjunction` makes the forms of a key, and
whether a value satisfies one of them is decided here.
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
    """One alternative.

    Attributes:
        nots: what must not hold besides; it can be told of values, and not enforced.
        hindrance: why it cannot be enforced; empty where it can.
    """

    nots: tuple[SpotKey, ...] = ()
    hindrance: str = ""

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether a value satisfies it, `nots` aside."""
        raise NotImplementedError

    def admits(self, value: Any, matches: Matches) -> bool:
        """Whether a value satisfies it.

        Raises:
            InputError: a pattern cannot be compared.
        """
        return self.fits(value, matches) and not any(matches(value, key) for key in self.nots)


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueForm(SchemaForm):
    """Some values, of any type.

    Attributes:
        values: all of them.
    """

    values: tuple[Any, ...]

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether it is one of them."""
        return same_as(value) in map(same_as, self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberForm(SchemaForm):
    """Numbers.

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
        """Whether it is a number within the bounds."""
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
    """Strings.

    Attributes:
        least: fewest characters.
        most: most characters.
        patterns: each is found in it.
    """

    least: int = 0
    most: int | None = None
    patterns: tuple[str, ...] = ()

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether it is a string of such a length in which the patterns are found."""
        if not isinstance(value, str) or len(value) < self.least:
            return False
        if self.most is not None and len(value) > self.most:
            return False
        return all(found_in(pattern, value) for pattern in self.patterns)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayForm(SchemaForm):
    """Arrays.

    Attributes:
        first: of the first items, one after the other.
        rest: of those that follow.
        least: fewest items.
        most: most items.
        unique: no two are equal.
        contains: what some items are, how few and how many of them.
    """

    first: tuple[SpotKey, ...] = ()
    rest: SpotKey = ()
    least: int = 0
    most: int | None = None
    unique: bool = False
    contains: tuple[tuple[SpotKey, int, int | None], ...] = ()

    def item(self, number: int) -> SpotKey:
        """What an item must be."""
        return self.first[number] if number < len(self.first) else self.rest

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether it is an array of such items."""
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
    """Objects.

    Attributes:
        properties: of the named ones, in the order they are written.
        patterns: of those whose names match.
        rest: of all others.
        required: names that must be there.
        least: fewest properties.
        most: most properties.
        names: what every name must be.
    """

    properties: Mapping[str, SpotKey]
    patterns: Mapping[str, SpotKey]
    rest: SpotKey = ()
    required: frozenset[str] = frozenset()
    least: int = 0
    most: int | None = None
    names: SpotKey = ()

    def fits(self, value: Any, matches: Matches) -> bool:
        """Whether it is an object of such properties."""
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
    """A text that equal values share, in JSON Schema's sense: 1 is 1.0, and true is not 1."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value
