"""A schema taken apart into parts that hold at once: plain keywords, choices, and schemas that must not hold.

References and `allOf` are followed; `anyOf`, `oneOf`, `if` and the dependencies of properties become choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.engine.schema.forms import SpotKey
from lavra.engine.schema.keywords import check_keywords
from lavra.engine.schema.negation import opposites
from lavra.engine.schema.spots import SchemaDocument, Spot

_IN_PLACE: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "if"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaChoice:
    """Alternatives, one of which holds.

    Attributes:
        pointer: JSON pointer of the keyword that has the options.
        options: the alternatives.
        exclusive: no more than one may hold.
        inside: places that lead here without a step into a value.
    """

    pointer: str
    options: tuple[Spot, ...]
    exclusive: bool
    inside: frozenset[str]


@dataclass(kw_only=True, slots=True)
class SchemaParts:
    """The parts of a schema, which hold at once.

    Attributes:
        plain: schemas of which only the keywords of types count.
        choices: alternatives, one of which is chosen for each entry.
        nots: schemas that must not hold.
        possible: whether no part is `false`.
    """

    plain: list[Spot] = field(default_factory=list)
    choices: list[SchemaChoice] = field(default_factory=list)
    nots: list[SpotKey] = field(default_factory=list)
    possible: bool = True


class SchemaSplitter:
    """Takes the schemas of a document apart.

    Args:
        document: document for resolving references.
        warnings: receives a line for each keyword without effect.
    """

    def __init__(self, document: SchemaDocument, warnings: list[str]) -> None:
        self._document, self._warnings = document, warnings
        self._checked: set[str] = set()

    def apart(self, spots: Sequence[Spot], inside: frozenset[str] = frozenset()) -> SchemaParts:
        """Schemas that hold at once, in their order.

        Args:
            spots: the schemas.
            inside: places that led here without a step into a value.

        Raises:
            InputError: a keyword or a reference is unusable, or references lead only to each other.
        """
        parts, seen = SchemaParts(), set[str]()
        for spot in spots:
            self._take(spot, inside, parts, seen)
        return parts

    def _take(self, spot: Spot, inside: frozenset[str], parts: SchemaParts, seen: set[str]) -> None:
        if spot.pointer in inside:
            raise InputError(
                f"the schema at {spot.pointer} leads back to itself without a step into a property or an item; "
                "it has no definition"
            )
        if spot.pointer in seen or spot.schema is True:
            return
        seen.add(spot.pointer)
        if spot.schema is False:
            parts.possible = False
            return
        schema, inside = self._read(spot), inside | {spot.pointer}
        if schema is not spot.schema:
            spot = Spot(spot.pointer, schema, spot.base, spot.lone_refs)
        added_plain = False
        for keyword in schema:
            if keyword in _IN_PLACE:
                self._apply(keyword, spot, inside, parts, seen)
            elif not added_plain and (keyword == "properties" or "properties" not in schema):
                parts.plain.append(spot)  # where its properties stand: they are written in that order
                added_plain = True
        self._depend(spot, inside, parts)

    def _read(self, spot: Spot) -> dict[str, Any]:
        """A schema, checked once, and without the keywords that a lone `$ref` makes void."""
        schema: dict[str, Any] = spot.schema
        if spot.pointer not in self._checked:
            self._checked.add(spot.pointer)
            self._warnings.extend(check_keywords(schema, spot.pointer))
        if spot.lone_refs and "$ref" in schema:
            return {"$ref": schema["$ref"]}
        return schema

    def _apply(self, keyword: str, spot: Spot, inside: frozenset[str], parts: SchemaParts, seen: set[str]) -> None:
        schema = spot.schema
        if keyword == "$ref":
            self._take(self._document.resolve(schema["$ref"], spot), inside, parts, seen)
        elif keyword == "allOf":
            for number in range(len(schema["allOf"])):
                self._take(spot.inner("allOf", number), inside, parts, seen)
        elif keyword in ("anyOf", "oneOf"):
            options = tuple(spot.inner(keyword, number) for number in range(len(schema[keyword])))
            self._choose(keyword, spot, _with_discriminator(options, spot), inside, parts)
        elif keyword == "not":
            self._exclude(spot.inner("not"), inside, parts)
        elif "then" in schema or "else" in schema:
            self._branch(spot, inside, parts)

    def _choose(
        self, name: str, spot: Spot, options: tuple[Spot, ...], inside: frozenset[str], parts: SchemaParts
    ) -> None:
        pointer = f"{spot.pointer}/{name}"
        parts.choices.append(SchemaChoice(pointer=pointer, options=options, exclusive=name == "oneOf", inside=inside))

    def _exclude(self, spot: Spot, inside: frozenset[str], parts: SchemaParts) -> None:
        if isinstance(spot.schema, dict):
            self._read(spot)
        found = opposites(spot.schema)
        if found is None:
            parts.nots.append((spot,))
            return
        options = tuple(spot.written(f"not{number}", one) for number, one in enumerate(found))
        self._choose("not", spot, options, inside, parts)

    def _branch(self, spot: Spot, inside: frozenset[str], parts: SchemaParts) -> None:
        """Add a choice: either the condition and `then`, or its negation and `else`."""
        schema = spot.schema
        held = {"allOf": [schema["if"], schema.get("then", True)]}
        other = {"allOf": [{"not": schema["if"]}, schema.get("else", True)]}
        options = (spot.written("then", held), spot.written("else", other))
        self._choose("if", spot, options, inside, parts)

    def _depend(self, spot: Spot, inside: frozenset[str], parts: SchemaParts) -> None:
        """Add a choice: either a property is absent, or the schema that depends on it holds."""
        schema = spot.schema
        named = {
            **schema.get("dependencies", {}),
            **schema.get("dependentSchemas", {}),
            **{f"{name}": names for name, names in schema.get("dependentRequired", {}).items()},
        }
        if len(named) < sum(
            len(schema.get(one, {})) for one in ("dependencies", "dependentSchemas", "dependentRequired")
        ):
            raise InputError(f"several dependencies at {spot.pointer} are of one property; write them as one schema")
        for name, needs in named.items():
            held = {"type": "object", "required": [name]}
            more = {"required": needs} if isinstance(needs, list) else needs
            options = (
                spot.written(f"without {name}", {"not": held}),
                spot.written(f"with {name}", {"allOf": [held, more]}),
            )
            self._choose(f"dependency of {name}", spot, options, inside, parts)


def _with_discriminator(options: tuple[Spot, ...], spot: Spot) -> tuple[Spot, ...]:
    """OpenAPI's `discriminator` names a property that decides between the branches, so it must be written."""
    found = spot.schema.get("discriminator")
    name = found.get("propertyName") if isinstance(found, dict) else None
    if not isinstance(name, str):
        return options
    return tuple(
        one.written("discriminated", {"allOf": [one.schema, {"required": [name]}]}) if one.schema is not False else one
        for one in options
    )
