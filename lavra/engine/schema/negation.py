"""The opposite of a schema, as far as it can be said in schemas again.

`if`, `not` and the dependencies of properties come down to it.  Of most schemas it can only be told whether a value
satisfies them; then `None` is the answer, and what they exclude is taken out of listed values.
"""

from __future__ import annotations

from typing import Any, Final

from lavra.engine.schema.keywords import TYPES

_OF_OBJECTS: Final = frozenset({"type", "properties", "required", "title", "description", "$comment"})


def opposites(schema: Any) -> list[Any] | None:
    """Schemas of which a value satisfies one exactly if it does not satisfy the given one.

    Args:
        schema: that must not hold.

    Returns:
        Alternatives; none where everything satisfies it; `None` where no schemas say it.
    """
    if isinstance(schema, bool):
        return [] if schema else [True]
    said = set(schema) - {"title", "description", "$comment"}
    if not said:
        return []
    if said == {"type"}:
        return _other_types(schema["type"])
    if said == {"not"}:
        return [schema["not"]]
    if said == {"anyOf"}:
        each = [opposites(one) for one in schema["anyOf"]]
        if all(one is not None and len(one) == 1 for one in each):
            return [{"allOf": [one[0] for one in each if one]}]
        return None
    if said & {"properties", "required"} and set(schema) <= _OF_OBJECTS and schema.get("type", "object") == "object":
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
