"""A JSON schema in words: types, bounds, fields, and the shape of an object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]
_TYPES: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "object": "object",
}
_SEVERAL: Final = {"text": "texts", "whole number": "whole numbers", "number": "numbers", "object": "objects"}
_BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "over {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "under {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
_NOT_EMPTY: Final = ("minLength", "minItems")  # where they are 1
_POWERS: Final = {2**31 - 1: "2^31-1", 2**31: "2^31", 2**53: "2^53", 2.0**63: "2^63", -(2.0**63): "-2^63"}


def name_of(schema: Schema) -> str:
    """The name of the schema that a schema refers to; empty where it refers to none."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def in_words(schema: Schema, *, optional: bool = False) -> str:
    """The type and bounds of a value.

    Args:
        schema: schema of the value.
        optional: leave `null` out of the possible values.
    """
    if name_of(schema):
        return f"[`{name_of(schema)}`](#{name_of(schema).lower()})"
    if "anyOf" in schema:
        members = [one for one in schema["anyOf"] if not (optional and one.get("type") == "null")]
        return "; or ".join(map(in_words, members)) if len(members) > 1 else in_words(members[0])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{_literal(value)}`" for value in schema.get("enum", [schema.get("const")]))
    return ", ".join([_type(schema), *_bounds(schema)])


def _type(schema: Schema) -> str:
    kind = schema.get("type", "any")
    if kind == "array" and "prefixItems" in schema:
        return f"list of: {', '.join(f'({in_words(part)})' for part in schema['prefixItems'])}"
    if kind == "array":
        return f"list of {_several(schema.get('items', {}))}"
    inner = schema.get("additionalProperties")
    if kind == "object" and isinstance(inner, Mapping) and inner:
        return f"object of {_several(inner)}"
    return _TYPES.get(kind, str(kind))


def _several(schema: Schema) -> str:
    """The words for several values: their bounds stand in brackets, so that those of the list stand apart."""
    if "anyOf" in schema:
        return f"({in_words(schema)})"
    if "type" not in schema:
        return in_words(schema)
    bounds = ", ".join(_bounds(schema))
    return _SEVERAL.get(_type(schema), _type(schema)) + (f" ({bounds})" if bounds else "")


def _bounds(schema: Schema) -> Iterator[str]:
    for key, words in _BOUNDS.items():
        if key in schema and "prefixItems" not in schema:
            number = _POWERS.get(schema[key]) or format(schema[key], ",.10g")
            yield "not empty" if key in _NOT_EMPTY and schema[key] == 1 else words.format(number)
    if "pattern" in schema:
        yield f"pattern `{schema['pattern']}`"


def fields(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    """The fields of an object: name, type, default and sentence; required fields first, then the model."""
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    for name, field in sorted(properties.items(), key=lambda one: (one[0] not in required, one[0] != "model")):
        default = field.get("default")
        shown = "required" if name in required else "" if default in (None, [], {}) else f"`{_literal(default)}`"
        yield (
            f"`{name}`",
            in_words(field, optional=name not in required),
            shown,
            field.get("description", "").rstrip("."),
        )


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, str) and value else json.dumps(value)


def shape(schema: Schema, schemas: Mapping[str, Schema], indent: str = "", seen: tuple[str, ...] = ()) -> Iterator[str]:
    """The fields of an object, a line each, those of objects inside it below their own line."""
    for name, field in schema.get("properties", {}).items():
        inner, around = _object_inside(field)
        words = in_words(field) if not inner else around
        yield f"{indent}{name}: {words.replace('`', '')}"
        if inner and inner not in seen:
            yield from shape(schemas[inner], schemas, indent + "  ", (*seen, inner))


def _object_inside(schema: Schema) -> tuple[str, str]:
    """The name of the object that a field holds, and the words for its place; empty without an object."""
    if name_of(schema):
        return name_of(schema), "object"
    if schema.get("type") == "array":
        inner, around = _object_inside(schema.get("items", {}))
        return inner, f"list of {_SEVERAL.get(around, around)}" if inner else ""
    for one in schema.get("anyOf", ()):
        inner, around = _object_inside(one)
        if inner:
            others = [in_words(other) for other in schema["anyOf"] if other is not one]
            return inner, " or ".join([around, *others])
    return "", ""
