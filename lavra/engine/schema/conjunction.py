"""Schemas that hold at once, worked out into the forms a value may have.

`allOf`, `$ref` with siblings, patterns that match declared properties: each is several schemas that hold at once, a
*key*.  A key's forms name further keys, of properties and of items.  As a document has finitely many places, keys are
finite too, and recursion ends by itself.  Two branches of `oneOf` are disjoint when no value satisfies both at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, permutations
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.engine.schema.formats import PATTERNS
from lavra.engine.schema.forms import ArrayForm, SchemaForm, SpotKey, ValueForm, same_as
from lavra.engine.schema.merging import array_of, number_of, object_of, text_of, types_of
from lavra.engine.schema.naming import apply_names
from lavra.engine.schema.parts import SchemaChoice, SchemaParts, SchemaSplitter
from lavra.engine.schema.spots import SchemaDocument, Spot

_MOST_KEYS: Final = 5_000
_MOST_FORMS: Final = 512
_MOST_WAYS: Final = 20_000
_MOST_SECONDS: Final = 5.0
_MOST_ORDERS: Final = 400

BranchOverlap = tuple[str, SpotKey]  # a oneOf's place, and two of its branches at once


class Conjunctions:
    """Computes the forms of keys, each key once.

    Args:
        schema: the document.

    Attributes:
        root: the whole document's key.
        warnings: parts that only describe.
        overlaps: branches of `oneOf` that no value may satisfy at once.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        document = SchemaDocument(schema)
        self.root: SpotKey = (document.root,)
        self.warnings: list[str] = []
        self.overlaps: list[BranchOverlap] = []
        self._taking = SchemaSplitter(document, self.warnings)
        self._forms: dict[frozenset[str], tuple[SchemaForm, ...]] = {}
        self._open: set[frozenset[str]] = set()
        self._formats: dict[str, None] = {}
        self._ways = 0
        self._until = time.monotonic() + _MOST_SECONDS

    def forms(self, key: SpotKey) -> tuple[SchemaForm, ...]:
        """The forms of a value that satisfies a key; empty if no value satisfies it.

        Raises:
            InputError: a keyword is unusable, or the schema is too large.
        """
        name = name_of(key)
        found = self._forms.get(name)
        if found is None:
            if name in self._open:
                raise InputError(
                    f"the values listed at {key[0].pointer} cannot be compared with a schema that refers to itself; "
                    "leave the other keywords beside enum, const or not out"
                )
            self._check_size()
            self._open.add(name)
            try:
                found = self._forms[name] = tuple(self._work_out(key))
            finally:
                self._open.discard(name)
        return found

    def matches(self, value: Any, key: SpotKey) -> bool:
        """Whether a value satisfies a key."""
        return any(form.admits(value, self.matches) for form in self.forms(key))

    @property
    def described(self) -> tuple[str, ...]:
        """Formats that only describe."""
        return tuple(self._formats)

    def _check_size(self) -> None:
        if len(self._forms) >= _MOST_KEYS:
            raise InputError(f"the schema has more than {_MOST_KEYS} parts; make it smaller")
        if time.monotonic() > self._until:
            raise InputError(f"reading the schema takes more than {_MOST_SECONDS:g} seconds; make it smaller")

    def _count_way(self, choice: SchemaChoice) -> None:
        self._ways += 1
        if self._ways > _MOST_WAYS:
            raise InputError(
                f"the schema has more than {_MOST_WAYS} choices among alternatives, the last at {choice.pointer}; "
                "make it smaller"
            )

    def _work_out(self, key: SpotKey) -> list[SchemaForm]:
        found: list[SchemaForm] = []
        for form in self._chosen(self._taking.apart(key), list(key)):
            found.append(form)
            if len(found) > _MOST_FORMS:
                raise InputError(
                    f"the schema at {key[0].pointer} has more than {_MOST_FORMS} alternatives, "
                    "put together from anyOf, oneOf, if and dependencies; make it smaller"
                )
        return found

    def _chosen(self, parts: SchemaParts, given: Sequence[Spot]) -> Iterator[SchemaForm]:
        """Forms of every combination of choices."""
        if not parts.possible:
            return
        if not parts.choices:
            yield from self._merged(parts)
            return
        choice, rest = parts.choices[0], parts.choices[1:]
        if choice.exclusive:
            self._note_overlaps(choice, given)
        for option in choice.options:
            more = self._taking.apart([option], choice.inside)
            joined = SchemaParts(
                plain=[*parts.plain, *more.plain],
                choices=[*more.choices, *rest],
                nots=[*parts.nots, *more.nots],
                possible=more.possible,
            )
            self._count_way(choice)
            if _possible(joined):
                yield from self._chosen(joined, given)

    def _note_overlaps(self, choice: SchemaChoice, given: Sequence[Spot]) -> None:
        """Note branches, which must exclude each other; keywords beside the `oneOf` may help to separate them."""
        beside = tuple(
            spot.written("beside", {name: one for name, one in spot.schema.items() if name != "oneOf"})
            if isinstance(spot.schema, dict) and "oneOf" in spot.schema
            else spot
            for spot in given
            if f"{spot.pointer}/oneOf" == choice.pointer
        )
        for number, first in enumerate(choice.options):
            for second in choice.options[number + 1 :]:
                self.overlaps.append((choice.pointer, (*beside, first, second)))

    def _merged(self, parts: SchemaParts) -> Iterator[SchemaForm]:
        spots = _once(parts.plain)
        listed = _listed(spots)
        forms = list(self._typed(spots, parts.nots, listed))
        if listed is None:
            yield from forms
            return
        values = [one for one in listed if any(form.admits(one, self.matches) for form in forms)]
        if values:
            yield ValueForm(values=tuple(values))

    def _typed(self, spots: list[Spot], nots: Sequence[SpotKey], listed: list[Any] | None) -> Iterator[SchemaForm]:
        """A form of each type; listed values are only compared with it."""
        for kind in types_of(spots):
            if kind in ("null", "boolean"):
                values = [
                    one for one in ((None,) if kind == "null" else (False, True)) if not self._excluded(one, nots)
                ]
                if values:
                    yield ValueForm(values=tuple(values))
                continue
            form = self._of_type(kind, spots, listed)
            if form is not None:
                yield replace(form, nots=tuple(nots)) if nots else form

    def _excluded(self, value: Any, nots: Sequence[SpotKey]) -> bool:
        return any(self.matches(value, key) for key in nots)

    def _of_type(self, kind: str, spots: list[Spot], listed: list[Any] | None) -> SchemaForm | None:
        if kind in ("number", "integer"):
            self._note_formats(spots, listed)
            return number_of(spots, integer=kind == "integer")
        if kind == "string":
            self._note_formats([spot for spot in spots if spot.schema.get("format") not in PATTERNS], listed)
            return text_of(spots)
        if kind == "array":
            form = array_of(spots)
            return form if form is None or listed is not None else self._in_any_order(form)
        found = object_of(spots)
        if found is None or listed is not None or not found.names:
            return found
        return apply_names(found, self.forms(found.names), self.matches)

    def _note_formats(self, spots: Sequence[Spot], listed: list[Any] | None) -> None:
        """Note formats that are not enforced: of strings the unknown formats, of numbers all."""
        if listed is None:
            self._formats.update({spot.schema["format"]: None for spot in spots if "format" in spot.schema})

    def _in_any_order(self, form: ArrayForm) -> SchemaForm | None:
        """The form with every order of its items listed, if items must be unique and few values are possible."""
        if not form.unique or (form.most is not None and form.most <= 1):
            return replace(form, unique=False)
        inner = [] if form.first or form.contains or name_of(form.rest) in self._open else self.forms(form.rest)
        values = {same_as(one): one for one_form in inner if isinstance(one_form, ValueForm) for one in one_form.values}
        if not inner or not all(isinstance(one, ValueForm) for one in inner):
            return form
        most = len(values) if form.most is None else min(form.most, len(values))
        orders = list(_orders(list(values.values()), form.least, most))
        if len(orders) > _MOST_ORDERS:
            return form
        return ValueForm(values=tuple(orders)) if orders else None


def name_of(key: SpotKey) -> frozenset[str]:
    """The identity of a key: equal keys have equal names."""
    return frozenset(spot.pointer for spot in key)


def _once(spots: Sequence[Spot]) -> list[Spot]:
    return list({spot.pointer: spot for spot in spots}.values())


def _possible(parts: SchemaParts) -> bool:
    """Whether types and listed values leave any value; choices beside choices make many impossible parts."""
    return parts.possible and bool(types_of(parts.plain)) and _listed(parts.plain) != []


def _listed(spots: Sequence[Spot]) -> list[Any] | None:
    """Values that every `enum` and `const` lists; `None` without an `enum` or a `const`."""
    lists = [spot.schema["enum"] for spot in spots if "enum" in spot.schema]
    lists += [[spot.schema["const"]] for spot in spots if "const" in spot.schema]
    if not lists:
        return None
    found = {same_as(one): one for one in lists[0]}
    for other in lists[1:]:
        also = set(map(same_as, other))
        found = {name: one for name, one in found.items() if name in also}
    return list(found.values())


def _orders(values: list[Any], least: int, most: int) -> Iterator[list[Any]]:
    """Lists of different values, at most one more than the enforced number."""
    counts = range(least, most + 1)
    every = (list(one) for count in counts for one in permutations(values, count))
    yield from islice(every, _MOST_ORDERS + 1)
