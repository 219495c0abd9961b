"""The negation of a schema, as far as schemas can express it.

`if`, `not` and the dependencies of properties reduce to it.  Most negations can only be checked for a given
value; then the result is `None`, and values that they exclude are removed from listed values.
"""

from __future__ import annotations

from typing import Any, Final

from lavra.engine.schema.keywords import TYPES

_OF_OBJECTS: Final = frozenset({"type", "properties", "required", "title", "description", "$comment"})


def opposites(schema: Any) -> list[Any] | None:
    """Schemas such that a value satisfies one of them exactly if it does not satisfy the given schema.

    Args:
        schema: the schema that must not hold.

    Returns:
        Alternatives; empty if every value satisfies the schema; `None` if no schemas express the negation.
    """
    if isinstance(schema, bool):
        return [] if schema else [True]
    keywords = set(schema) - {"title", "description", "$comment"}
    if not keywords:
        return []
    if keywords == {"type"}:
        return _other_types(schema["type"])
    if keywords == {"not"}:
        return [schema["not"]]
    if keywords == {"anyOf"}:
        each = [opposites(one) for one in schema["anyOf"]]
        if all(one is not None and len(one) == 1 for one in each):
            return [{"allOf": [one[0] for one in each if one]}]
        return None
    if (
        keywords & {"properties", "required"}
        and set(schema) <= _OF_OBJECTS
        and schema.get("type", "object") == "object"
    ):
        return _of_object(schema)
    return None


def _other_types(types: Any) -> list[Any] | None:
    named = {types} if isinstance(types, str) else set(types)
    if "integer" in named and "number" not in named:
        return None
    left = [one for one in TYPES if one not in named]
    return [{"type": left}] if left else []


def _of_object(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    if "type" in schema:
        found.append({"type": [one for one in TYPES if one != "object"]})
    found.extend({"type": "object", "properties": {name: False}} for name in schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        found.append({"type": "object", "required": [name], "properties": {name: {"not": inner}}})
    return found
