"""A client's JSON schema, made into one that the constraint library enforces as it is written.

References are resolved, parts that hold at once are merged, and schemas that no value satisfies are found before a
token is written (`conjunction`, `satisfiable`).  The result has one object, array, string or number at a time
(`writing`).  No keyword is dropped silently: it is enforced, or it only describes and a warning names it, or
the schema is refused with a remedy.

Object properties are written in the order of the schema, and without white space; integers are written without a
fraction.  Those are choices among valid texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.engine.schema.conjunction import Conjunctions, name_of
from lavra.engine.schema.satisfiable import Satisfiable
from lavra.engine.schema.writing import SchemaWriter

_MOST_DEPTH: Final = 64  # a schema that nests deeper is an attack, not a form
_MOST_CHARACTERS: Final = 200_000


@dataclass(frozen=True, kw_only=True)
class PreparedSchema:
    """A schema that can be enforced.

    Attributes:
        schema: accepts no text that the client's schema rejects.
        warnings: parts of the client's schema that only describe, and values that it allows and that are not written.
    """

    schema: dict[str, Any]
    warnings: tuple[str, ...] = ()


def prepare_schema(schema: object) -> PreparedSchema:
    """A schema ready to be enforced; references are resolved from its own root.

    Args:
        schema: a JSON Schema, draft 4 to 2020-12.

    Raises:
        InputError: no value satisfies the schema, or a keyword of it cannot be enforced; the message has a remedy.
    """
    if schema is True:
        return PreparedSchema(schema={})
    if not isinstance(schema, dict):
        raise InputError('the JSON schema is not an object; give one such as {"type": "object"}')
    _check_size(schema)
    try:
        return _prepared(schema)
    except InputError as error:
        raise InputError(f"the JSON schema cannot be enforced: {error}") from None


def _prepared(schema: dict[str, Any]) -> PreparedSchema:
    conjunctions = Conjunctions(schema)
    satisfiable = Satisfiable(conjunctions, conjunctions.root)
    if not satisfiable.has(conjunctions.root):
        raise InputError(f"nothing can satisfy it: {satisfiable.reason(conjunctions.root)}")
    _check_overlaps(conjunctions)
    writer = SchemaWriter(conjunctions, satisfiable)
    written = writer.whole()
    formats = [f"the format {name[:80]!r} only describes: it is not enforced" for name in conjunctions.described]
    return PreparedSchema(
        schema=written, warnings=tuple(dict.fromkeys([*conjunctions.warnings, *formats, *writer.warnings]))
    )


def _check_overlaps(conjunctions: Conjunctions) -> None:
    """Refuse branches of `oneOf` that do not exclude each other."""
    for pointer, key in {(where, name_of(key)): (where, key) for where, key in conjunctions.overlaps}.values():
        try:
            overlap = Satisfiable(conjunctions, key).has(key)
        except InputError:
            overlap = True
        if overlap:
            raise InputError(
                f"oneOf at {pointer} has branches that one value may satisfy together, "
                f"{key[-2].pointer} and {key[-1].pointer}; write anyOf, or give each "
                "a required property with its own const"
            )


def _check_size(schema: dict[str, Any]) -> None:
    if _depth(schema) > _MOST_DEPTH:
        raise InputError(f"the JSON schema nests deeper than {_MOST_DEPTH} levels; flatten it")
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise InputError("the JSON schema has a number over 1.8e308, or none; write a smaller one") from None
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"the JSON schema has {len(text)} characters and at most {_MOST_CHARACTERS} are read")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError("the JSON schema has half a surrogate pair, which is not a character; leave it out") from None


def _depth(value: object, level: int = 0) -> int:
    if level > _MOST_DEPTH:
        return level
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(one, level + 1) for one in inner), default=level)
