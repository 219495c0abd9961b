"""Plain keywords of several schemas that hold at once, merged into one form of each type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from lavra.engine.schema.emptiness import leaves_no_text
from lavra.engine.schema.formats import PATTERNS
from lavra.engine.schema.forms import ArrayForm, NumberForm, ObjectForm, SpotKey, TextForm, exactly
from lavra.engine.schema.keywords import TYPES
from lavra.engine.schema.patterns import found_in, listed_in, may_be_finite
from lavra.engine.schema.spots import Spot


def types_of(spots: Sequence[Spot]) -> list[str]:
    """Types that all schemas allow; `integer` instead of `number` if a schema requires it."""
    left, integer = list(TYPES), False
    for spot in spots:
        named = spot.schema.get("type", TYPES)
        named = {named} if isinstance(named, str) else set(named)
        if "integer" in named and "number" not in named:
            named.add("number")
            integer = True
        left = [one for one in left if one in named]
    return ["integer" if one == "number" and integer else one for one in left]


def number_of(spots: Sequence[Spot], *, integer: bool) -> NumberForm | None:
    """Numbers that all schemas allow; `None` if there are no such numbers."""
    lows: list[tuple[Fraction, bool]] = []
    highs: list[tuple[Fraction, bool]] = []
    steps: list[Fraction] = []
    for spot in spots:
        _bound(spot.schema, "minimum", "exclusiveMinimum", lows)
        _bound(spot.schema, "maximum", "exclusiveMaximum", highs)
        if "multipleOf" in spot.schema:
            steps.append(exactly(spot.schema["multipleOf"]))
    low, low_open = max(lows, default=(None, False))
    # Of equal bounds the open bound is narrower.
    high, high_open = min(highs, key=lambda one: (one[0], not one[1]), default=(None, False))
    step = None
    for one in steps:
        step = one if step is None else _common_multiple(step, one)
    form = NumberForm(integer=integer, low=low, low_open=low_open, high=high, high_open=high_open, step=step)
    return form if _any_number(form) else None


def _bound(schema: dict[str, Any], closed: str, opened: str, found: list[tuple[Fraction, bool]]) -> None:
    exclusive = schema.get(opened)
    if closed in schema:
        found.append((exactly(schema[closed]), exclusive is True))  # true: as draft 4 has it
    if exclusive is not None and not isinstance(exclusive, bool):
        found.append((exactly(exclusive), True))


def _common_multiple(first: Fraction, second: Fraction) -> Fraction:
    below = math.lcm(first.denominator, second.denominator)
    return Fraction(math.lcm(int(first * below), int(second * below)), below)


def _any_number(form: NumberForm) -> bool:
    if form.low is None or form.high is None:
        return True
    step = form.step
    if form.integer:
        step = Fraction(1) if step is None else _common_multiple(step, Fraction(1))
    if step is None:
        return form.low < form.high or (form.low == form.high and not form.low_open and not form.high_open)
    least = math.ceil(form.low / step)
    least += form.low_open and least * step == form.low
    return least * step < form.high or (least * step == form.high and not form.high_open)


def text_of(spots: Sequence[Spot]) -> TextForm | None:
    """Strings that all schemas allow; `None` if lengths and patterns leave no string."""
    least, most, patterns = 0, list[int](), dict[str, None]()
    for spot in spots:
        least = max(least, int(spot.schema.get("minLength", 0)))
        if "maxLength" in spot.schema:
            most.append(int(spot.schema["maxLength"]))
        if "pattern" in spot.schema:
            patterns[spot.schema["pattern"]] = None
        name = spot.schema.get("format")
        if name in PATTERNS:
            patterns[PATTERNS[name]] = None
    form = TextForm(least=least, most=min(most, default=None), patterns=tuple(patterns))
    if form.most is not None and form.least > form.most:
        return None
    return None if len(patterns) > 1 and leaves_no_text(form.patterns, form.least, form.most) else form


def array_of(spots: Sequence[Spot]) -> ArrayForm | None:
    """Arrays that all schemas allow; `None` if lengths leave no array."""
    splits = [_items(spot) for spot in spots]
    longest = max((len(first) for first, _ in splits), default=0)
    first = [_joined([one[number] if number < len(one) else rest for one, rest in splits]) for number in range(longest)]
    most = [int(spot.schema["maxItems"]) for spot in spots if "maxItems" in spot.schema]
    form = ArrayForm(
        first=tuple(first),
        rest=_joined([rest for _, rest in splits]),
        least=max((int(spot.schema.get("minItems", 0)) for spot in spots), default=0),
        most=min(most, default=None),
        unique=any(spot.schema.get("uniqueItems") is True for spot in spots),
        contains=tuple(_contains(spot) for spot in spots if "contains" in spot.schema),
        hindrance=_unevaluated(spots, "Items"),
    )
    return None if form.most is not None and form.least > form.most else form


def _items(spot: Spot) -> tuple[list[SpotKey], SpotKey]:
    """The first items, and the others; before draft 2020-12 a list of items are the first."""
    schema = spot.schema
    if isinstance(schema.get("items"), list):
        first = [(spot.inner("items", number),) for number in range(len(schema["items"]))]
        keyword = "additionalItems"
    else:
        first = [(spot.inner("prefixItems", number),) for number in range(len(schema.get("prefixItems", ())))]
        keyword = "items"
    if keyword not in schema and "unevaluatedItems" in schema:
        keyword = "unevaluatedItems"
    return list(first), (spot.inner(keyword),) if keyword in schema else ()


def _contains(spot: Spot) -> tuple[SpotKey, int, int | None]:
    few, many = spot.schema.get("minContains", 1), spot.schema.get("maxContains")
    return (spot.inner("contains"),), int(few), None if many is None else int(many)


def _unevaluated(spots: Sequence[Spot], what: str) -> str:
    """The reason why `unevaluated…` cannot be decided from the one schema it stands in; empty if it can."""
    for spot in spots:
        schema = spot.schema
        others = [
            one for one in ("allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas", "contains") if one in schema
        ]
        if f"unevaluated{what}" in schema and others:
            plain = "additionalProperties" if what == "Properties" else "items"
            return f"unevaluated{what} at {spot.pointer} beside {others[0]}; write {plain} in each schema"
    return ""


def object_of(spots: Sequence[Spot]) -> ObjectForm | None:
    """Objects that all schemas allow; `None` if counts leave no object."""
    required = dict.fromkeys(name for spot in spots for name in spot.schema.get("required", ()))
    named = dict.fromkeys(name for spot in spots for name in spot.schema.get("properties", ()))
    patterns = dict.fromkeys(one for spot in spots for one in spot.schema.get("patternProperties", ()))
    for one in list(patterns):
        listed = listed_in(one)
        if listed is not None:  # its texts are names like declared names
            named.update(dict.fromkeys(listed))
            del patterns[one]
    most = [int(spot.schema["maxProperties"]) for spot in spots if "maxProperties" in spot.schema]
    form = ObjectForm(
        properties={name: _joined([_named(spot, name) for spot in spots]) for name in {**named, **required}},
        patterns={one: _joined([_matching(spot, one) for spot in spots]) for one in patterns},
        rest=_joined([_others(spot) for spot in spots]),
        required=frozenset(required),
        least=max((int(spot.schema.get("minProperties", 0)) for spot in spots), default=0),
        most=min(most, default=None),
        names=_joined([(spot.inner("propertyNames"),) for spot in spots if "propertyNames" in spot.schema]),
        hindrance=_unevaluated(spots, "Properties") or _used_up(patterns, {**named, **required}),
    )
    few = max(form.least, len(form.required))
    return None if form.most is not None and few > form.most else form


def _used_up(patterns: Iterable[str], names: Iterable[str]) -> str:
    """The reason to refuse a pattern that declared names may use up; empty if there is no such pattern.

    A pattern of finitely many names may match declared names only.  With no name left, a text that begins another name
    could not end.
    """
    for one in patterns:
        taken = next((name for name in names if found_in(one, name)), None) if may_be_finite(one) else None
        if taken is not None:
            return f"patternProperties {one[:80]!r} that match the declared property {taken[:80]!r}; list the names"
    return ""


def _named(spot: Spot, name: str) -> SpotKey:
    found = [spot.inner("properties", name)] if name in spot.schema.get("properties", ()) else []
    patterns = [one for one in spot.schema.get("patternProperties", ()) if found_in(one, name)]
    found += [spot.inner("patternProperties", one) for one in patterns]
    return tuple(found) or _others(spot)


def _matching(spot: Spot, pattern: str) -> SpotKey:
    if pattern in spot.schema.get("patternProperties", ()):
        return (spot.inner("patternProperties", pattern),)
    return _others(spot)


def _others(spot: Spot) -> SpotKey:
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        if keyword in spot.schema:
            return (spot.inner(keyword),)
    return ()


def _joined(keys: Sequence[SpotKey]) -> SpotKey:
    """Schemas that hold at once, each once; schemas that allow every value are left out."""
    found = {spot.pointer: spot for key in keys for spot in key if spot.schema is not True and spot.schema != {}}
    return tuple(found.values())
