"""The keywords of JSON Schema: enforced keywords, keywords that only describe, and refused keywords.

JSON Schema ignores unknown keywords (https://json-schema.org/draft/2020-12/json-schema-core, 6.5); here a
warning names each of them, since most are misspelt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from lavra.base.errors import InputError, nearest

TYPES: Final = ("null", "boolean", "number", "string", "array", "object")

ENFORCED: Final = frozenset(
    {
        "type", "const", "enum", "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
        "properties", "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties",
        "propertyNames", "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties",
        "prefixItems", "items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains",
        "maxContains", "unevaluatedItems",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "pattern", "format",
    }
)  # fmt: skip
_DESCRIBING: Final = frozenset(
    {
        "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$comment", "$defs", "definitions",
        "$vocabulary", "title", "description", "default", "deprecated", "readOnly", "writeOnly", "example", "examples",
        "contentMediaType", "contentEncoding", "contentSchema", "discriminator", "externalDocs", "xml",
        "markdownDescription", "enumDescriptions", "enumNames", "propertyOrdering",
    }
)  # fmt: skip
_REFUSED: Final = {
    "$dynamicRef": "write $ref",
    "$recursiveRef": 'write {"$ref": "#"}',
}
_SCHEMAS: Final = frozenset(
    {"not", "if", "then", "else", "additionalProperties", "propertyNames", "unevaluatedProperties"}
    | {"additionalItems", "contains", "unevaluatedItems"}
)
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minContains", "maxContains"}
)
_NUMBERS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})


def is_schema(value: object) -> bool:
    """Whether a value may stand in the place of a schema."""
    return isinstance(value, (dict, bool))


def check_keywords(schema: dict[str, Any], pointer: str) -> Iterator[str]:
    """A warning for each keyword that has no effect.

    Args:
        schema: a schema; its inner schemas are not checked.
        pointer: JSON pointer of its place.

    Raises:
        InputError: a keyword cannot be enforced, or its value is of the wrong kind.
    """
    for keyword, value in schema.items():
        if keyword in _REFUSED:
            raise InputError(f"{keyword} at {pointer} cannot be enforced; {_REFUSED[keyword]}")
        if keyword in ENFORCED:
            wanted = _wrong_kind(keyword, value)
            if wanted:
                raise InputError(f"{keyword} at {pointer} is {_shown(value)}; it must be {wanted}")
        elif keyword == "nullable":
            yield f"nullable at {pointer} is OpenAPI's and had no effect; write null among the types"
        elif keyword not in _DESCRIBING and not keyword.startswith("x-"):
            close = nearest(keyword, ENFORCED)
            yield f"the schema has an unknown keyword {keyword[:80]!r} at {pointer}{close}; it had no effect"
    for keyword, needed in (("then", "if"), ("else", "if"), ("minContains", "contains"), ("maxContains", "contains")):
        if keyword in schema and needed not in schema:
            yield f"{keyword} at {pointer} stands without {needed}; it had no effect"


def _wrong_kind(keyword: str, value: Any) -> str:
    """The required kind of a keyword's value; empty if the value has it."""
    if keyword in _SCHEMAS:
        return "" if is_schema(value) else "a schema: an object, true or false"
    if keyword in _LISTS:
        listed = isinstance(value, list) and value and all(map(is_schema, value))
        return "" if listed else "a list of schemas, at least one"
    if keyword in _MAPS:
        return "" if isinstance(value, dict) and all(map(is_schema, value.values())) else "an object of schemas"
    if keyword in _COUNTS:
        return "" if _whole(value) and value >= 0 else "a whole number from 0"
    if keyword in _NUMBERS:
        return _wrong_number(keyword, value)
    return _wrong_other(keyword, value)


def _wrong_number(keyword: str, value: Any) -> str:
    if isinstance(value, bool):  # of draft 4: the bound beside it is exclusive
        return "" if keyword.startswith("exclusive") else "a number"
    if not isinstance(value, (int, float)) or value != value or abs(value) == float("inf"):
        return "a number"
    return "a number over 0" if keyword == "multipleOf" and value <= 0 else ""


def _wrong_other(keyword: str, value: Any) -> str:
    if keyword == "type":
        types = value if isinstance(value, list) else [value]
        known = [*TYPES, "integer"]
        return "" if types and all(one in known for one in types) else f"one of {', '.join(known)}, or a list of them"
    if keyword in ("$ref", "pattern", "format"):
        return "" if isinstance(value, str) else "a string"
    if keyword == "required":
        return "" if _strings(value) else "a list of names"
    if keyword == "enum":
        return "" if isinstance(value, list) and value else "a list of values, at least one: nothing satisfies none"
    if keyword == "uniqueItems":
        return "" if isinstance(value, bool) else "true or false"
    if keyword == "items":
        listed = isinstance(value, list) and all(map(is_schema, value))  # before draft 2020-12
        return "" if is_schema(value) or listed else "a schema, or a list of schemas"
    if keyword == "dependentRequired":
        return "" if isinstance(value, dict) and all(map(_strings, value.values())) else "an object of lists of names"
    if keyword == "dependencies":
        good = isinstance(value, dict) and all(_strings(one) or is_schema(one) for one in value.values())
        return "" if good else "an object of lists of names and schemas"
    return ""


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
