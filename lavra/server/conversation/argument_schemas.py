"""The schema of a demanded call, made from the functions' schemas.

Each function's schema stands whole under `$defs`, and its references are written anew from there: two functions may
define one name differently.  Objects that list their properties and do not say whether others may follow are closed: a
small model otherwise writes properties until its last token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_NO_PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")  # schemas by name
_DATA: Final = ("enum", "const", "default", "examples")  # values; they hold no keywords
# Keywords that allow or describe properties that an object does not list.
_OPEN: Final = frozenset(
    {"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames", "$ref", "$dynamicRef"}
)
_JOINS: Final = ("properties", "$ref", "allOf", "anyOf", "oneOf")  # two of them describe the same object
_APART: Final = ("not", "if", "dependentSchemas")  # their schemas are not forms of the object


def parameters_of(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """A function's schema as the schema of an object; a function without a schema takes no arguments."""
    if not parameters:
        return dict(_NO_PARAMETERS)
    bare = "type" not in parameters and not any(name in parameters for name in _JOINS[1:])
    schema = {**parameters, "type": "object"} if bare else dict(parameters)
    return {**schema, "properties": {}} if schema.keys() == {"type"} else schema


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Close the objects of a schema to properties that are not listed; the result is equal where no object is open.

    Objects that describe their other properties stay unchanged.
    All objects stay unchanged where several schemas describe one object: if closed, each would refuse properties that
    another lists.
    """
    if any(_joins(one) for one in _schemas(schema)):
        return dict(schema)

    def close(one: dict[str, Any]) -> dict[str, Any]:
        listed = isinstance(one.get("properties"), Mapping)
        return {**one, "additionalProperties": False} if listed and not _OPEN.intersection(one) else one

    return _changed(schema, close)


def _joins(schema: Mapping[str, Any]) -> bool:
    """Whether several schemas in a schema describe the same object."""
    parts = schema.get("allOf")
    several = isinstance(parts, list) and len(parts) > 1
    return several or sum(name in schema for name in _JOINS) > 1 or any(name in schema for name in _APART)


def call_schema(functions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of a call of any of some functions, by the schemas of their arguments."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{name}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name in functions
    ]
    return {"anyOf": calls, "$defs": {name: _moved(schema, name) for name, schema in functions.items()}}


def _moved(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Move a schema into the `$defs` of another: its references to its own parts begin there."""

    def move(one: dict[str, Any]) -> dict[str, Any]:
        place = one.get("$ref")
        kept = {key: value for key, value in one.items() if key not in ("$id", "$schema")}
        if isinstance(place, str) and place.startswith("#"):
            kept["$ref"] = f"#/$defs/{name}{place[1:]}"
        return kept

    return _changed(schema, move)


def _changed(schema: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Apply a change to every schema in a schema, the inner ones first; values (`enum`, `default`) stay unchanged."""

    def inside(key: str, value: Any) -> Any:
        if key in _NAMED and isinstance(value, Mapping):
            return {name: inside("", one) for name, one in value.items()}
        if isinstance(value, list) and key not in _DATA:
            return [inside("", one) for one in value]
        return _changed(value, change) if isinstance(value, Mapping) and key not in _DATA else value

    return change({key: inside(key, value) for key, value in schema.items()})


def _schemas(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A schema and every schema in it."""
    found: list[Mapping[str, Any]] = []

    def keep(one: dict[str, Any]) -> dict[str, Any]:
        found.append(one)
        return one

    _changed(schema, keep)
    return found
