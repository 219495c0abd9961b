"""Forms written as a schema of few keywords, without any that the constraint library interprets differently.

The library (llguidance 1.6) is exact on one object, array, string or number, on alternatives and on references, and
gets nothing else.  Where it is not exact, the text covers less than the schema allows, and a warning says so:

* a property beside declared properties could be spelled with escapes, which are not compared with declared names; a
  pattern that matches every name is compared unescaped;
* no negative multiples are written;
* beside `patternProperties` no further properties are written.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.engine.schema.conjunction import Conjunctions, name_of
from lavra.engine.schema.counting import CountedProperties, count_properties
from lavra.engine.schema.forms import ArrayForm, NumberForm, ObjectForm, SchemaForm, SpotKey, TextForm, ValueForm
from lavra.engine.schema.patterns import for_constraint
from lavra.engine.schema.satisfiable import Satisfiable, inner_keys

_EXACT: Final = 2**53  # whole numbers that a double holds
_WORD: Final = 2**63
_MOST_ITEMS: Final = 2_000
_MOST_CHARACTERS: Final = 100_000


class SchemaWriter:
    """Writes the schema of one document.

    Args:
        conjunctions: source of the forms.
        satisfiable: satisfiable keys, which are written; the root is one of them.

    Attributes:
        warnings: values that are allowed but never written.
    """

    def __init__(self, conjunctions: Conjunctions, satisfiable: Satisfiable) -> None:
        self._conjunctions, self._satisfiable = conjunctions, satisfiable
        self.warnings: dict[str, None] = {}
        self._names: dict[frozenset[str], str] = {}
        self._written: dict[str, Any] = {}

    def whole(self) -> dict[str, Any]:
        """The schema of the whole document.

        Raises:
            InputError: a part of the schema cannot be enforced.
        """
        root = self._conjunctions.root
        todo = self._shared(root)
        schema = self._of(root)
        for key in todo:
            if name_of(key) in self._names:
                self._written[self._names[name_of(key)]] = self._body(key)
        return {**schema, "$defs": self._written} if self._written else schema

    def _shared(self, root: SpotKey) -> list[SpotKey]:
        """Keys that are written once and referred to: keys with several places, and all that refer to themselves."""
        count, keys, todo = Counter([name_of(root)]), {name_of(root): root}, [root]
        while todo:
            for form in self._satisfiable.alive(todo.pop()):
                for key in inner_keys(form):
                    if not self._satisfiable.has(key):
                        continue
                    count[name_of(key)] += 1
                    if count[name_of(key)] == 1:
                        keys[name_of(key)] = key
                        todo.append(key)
        found = [key for name, key in keys.items() if count[name] > 1 and self._is_large(key)]
        self._names = {name_of(key): f"d{number}" for number, key in enumerate(found)}
        return found

    def _is_large(self, key: SpotKey) -> bool:
        return bool(key) and any(
            isinstance(form, (ArrayForm, ObjectForm)) or (isinstance(form, ValueForm) and len(form.values) > 8)
            for form in self._satisfiable.alive(key)
        )

    def _of(self, key: SpotKey) -> dict[str, Any]:
        name = self._names.get(name_of(key))
        return self._body(key) if name is None else {"$ref": f"#/$defs/{name}"}

    def _body(self, key: SpotKey) -> dict[str, Any]:
        if not key:
            return {}
        written = [self._form(form, key) for form in self._satisfiable.alive(key)]
        return written[0] if len(written) == 1 else {"anyOf": written}

    def _form(self, form: SchemaForm, key: SpotKey) -> dict[str, Any]:
        where = key[0].pointer
        if form.hindrance:
            raise InputError(f"the schema at {where} has {form.hindrance}")
        if form.nots:
            raise InputError(
                f"not at {form.nots[0][0].pointer} cannot be enforced; list what is allowed with enum, or write anyOf"
            )
        if isinstance(form, ValueForm):
            return _values(form, where)
        if isinstance(form, NumberForm):
            return self._number(form, where)
        if isinstance(form, TextForm):
            return _text(form, where)
        if isinstance(form, ArrayForm):
            return self._array(form, where)
        assert isinstance(form, ObjectForm)
        return self._object(form, where)

    def _number(self, form: NumberForm, where: str) -> dict[str, Any]:
        low, high, step = form.low, form.high, form.step
        if step is not None:
            if high is not None and (high < 0 or (high == 0 and form.high_open)):
                raise InputError(f"multipleOf at {where} with a maximum under 0 cannot be enforced; use enum")
            if low is None or low < 0:
                self.warnings[f"no negative multiples are written at {where}"] = None
                low = Fraction(0)
        written: dict[str, Any] = {"type": "integer" if form.integer else "number"}
        if form.integer:
            written.update(_whole_bounds(form, low, high, where))
            step = None if step is None else step * Fraction(step.denominator)
        else:
            if low is not None:
                opened = form.low_open and low == form.low
                written["exclusiveMinimum" if opened else "minimum"] = _double(low, math.inf)
            if high is not None:
                written["exclusiveMaximum" if form.high_open else "maximum"] = _double(high, -math.inf)
        if step is not None:
            written["multipleOf"] = int(step) if step.denominator == 1 else float(step)
        return written

    def _array(self, form: ArrayForm, where: str) -> dict[str, Any]:
        for refused, keyword, instead in (
            (form.unique, "uniqueItems", "leave it out, or give items an enum of a few values"),
            (form.contains, "contains", "write prefixItems, or leave it out"),
        ):
            if refused:
                raise InputError(f"{keyword} at {where} cannot be enforced; {instead}")
        first, most = list(form.first), form.most
        for number in range(len(first) + 1):
            if not self._satisfiable.has(form.item(number)):
                first, most = first[:number], number if most is None else min(most, number)
                break
        if max(form.least, most or 0) > _MOST_ITEMS:
            raise InputError(
                f"the array at {where} counts up to {max(form.least, most or 0)} items and at most {_MOST_ITEMS} "
                "are counted; lower maxItems or leave it out"
            )
        written: dict[str, Any] = {"type": "array"}
        if first:
            written["prefixItems"] = [self._of(key) for key in first]
        if most is None or most > len(first):
            written["items"] = self._of(form.rest)
        else:
            written["items"] = False
        if form.least:
            written["minItems"] = form.least
        if most is not None:
            written["maxItems"] = most
        return written

    def _object(self, form: ObjectForm, where: str) -> dict[str, Any]:
        has = self._satisfiable.has
        patterns, rest = self._open_names(form, where)
        named = {name: key for name, key in form.properties.items() if has(key)}
        counted = count_properties(form, list(named), bool(patterns) or rest is not None, where)
        if not counted[0].open:
            patterns, rest = {}, None
        written = [self._counted(one, form, named, patterns, rest) for one in counted]
        return written[0] if len(written) == 1 else {"anyOf": written}

    def _open_names(self, form: ObjectForm, where: str) -> tuple[Mapping[str, SpotKey], SpotKey | None]:
        """The values of undeclared names: by pattern, and for the other names; `None` for no such names."""
        has = self._satisfiable.has
        rest = form.rest if has(form.rest) else None
        if rest is None or not form.patterns:
            return {one: key for one, key in form.patterns.items() if has(key)}, rest
        if all(_spelled(key) == _spelled(rest) for key in form.patterns.values()):
            return {}, rest
        self.warnings[f"no properties beside properties and patternProperties are written at {where}"] = None
        return {one: key for one, key in form.patterns.items() if has(key)}, None

    def _counted(
        self,
        counted: CountedProperties,
        form: ObjectForm,
        named: Mapping[str, SpotKey],
        patterns: Mapping[str, SpotKey],
        rest: SpotKey | None,
    ) -> dict[str, Any]:
        properties: dict[str, Any] = {
            name: self._of(named[name]) if name in named and name in counted.names else False
            for name in form.properties
        }
        written: dict[str, Any] = {"type": "object", "properties": properties, "required": list(counted.required)}
        others: Any = False
        if patterns:
            written["patternProperties"] = {for_constraint(one): self._of(key) for one, key in patterns.items()}
        elif rest is not None and properties:
            written["patternProperties"] = {"": self._of(rest)}
        elif rest is not None:
            others = self._of(rest)
        written["additionalProperties"] = others
        if counted.least:
            written["minProperties"] = counted.least
        if counted.most is not None:
            written["maxProperties"] = counted.most
        return written


def _spelled(key: SpotKey) -> set[tuple[str, str]]:
    """Schemas as they are written; equal schemas at several places have the same form."""
    return {(spot.base, json.dumps(spot.schema, sort_keys=True)) for spot in key}


def _values(form: ValueForm, where: str) -> dict[str, Any]:
    if form.values == (None,):
        return {"type": "null"}
    if form.values == (False, True) and all(isinstance(one, bool) for one in form.values):
        return {"type": "boolean"}
    for number in _numbers(form.values):
        if abs(number) > _EXACT:
            raise InputError(f"the value {number} at {where} is over 2**53 and would be rounded; write it as a string")
    return {"enum": [_settled(one) for one in form.values]}


def _settled(value: Any) -> Any:
    """A number for JSON: 1.0 becomes 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _numbers(values: Sequence[Any]) -> list[float]:
    found: list[float] = []
    for value in values:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(value)
        elif isinstance(value, list):
            found.extend(_numbers(value))
        elif isinstance(value, dict):
            found.extend(_numbers(list(value.values())))
    return found


def _text(form: TextForm, where: str) -> dict[str, Any]:
    if max(form.least, form.most or 0) > _MOST_CHARACTERS:
        raise InputError(
            f"the string at {where} counts up to {max(form.least, form.most or 0)} characters and at most "
            f"{_MOST_CHARACTERS} are counted; lower maxLength or leave it out"
        )
    written: dict[str, Any] = {"type": "string"}
    if form.least:
        written["minLength"] = form.least
    if form.most is not None:
        written["maxLength"] = form.most
    patterns = [for_constraint(pattern) for pattern in form.patterns]
    if patterns:
        written["pattern"] = patterns[0]
    if len(patterns) > 1:
        written["allOf"] = [{"type": "string", "pattern": pattern} for pattern in patterns[1:]]
    return written


def _whole_bounds(form: NumberForm, low: Fraction | None, high: Fraction | None, where: str) -> dict[str, Any]:
    """The smallest and the greatest whole number; numbers beyond 64 bits are not written."""
    written: dict[str, Any] = {}
    if low is not None:
        least = math.ceil(low) + (form.low_open and low == form.low and low.denominator == 1)
        written["minimum"] = _double(max(Fraction(least), Fraction(-_WORD + 1)), math.inf)
    if high is not None:
        most = math.floor(high) - (form.high_open and high.denominator == 1)
        written["maximum"] = _double(min(Fraction(most), Fraction(_WORD - 1)), -math.inf)
    if (low is not None and low >= _WORD) or (high is not None and high <= -_WORD):
        raise InputError(f"the integers at {where} need more than 64 bits; write them as strings")
    return written


def _double(exact: Fraction, inward: float) -> int | float:
    """A bound as a double, never outside the exact bound."""
    if exact.denominator == 1 and abs(exact) <= _EXACT:
        return int(exact)
    try:
        near = float(exact)
    except OverflowError:
        raise InputError("a bound of a number is beyond what a double holds (1.8e308); leave it out") from None
    beyond = Fraction(near) < exact if inward > 0 else Fraction(near) > exact
    if beyond and Fraction(repr(near)) != exact:
        near = math.nextafter(near, inward)
    # The library reads long decimals inexactly, and whole numbers exactly.
    return int(near) if near.is_integer() and abs(near) < _WORD else near
