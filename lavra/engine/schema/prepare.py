"""A client's JSON schema, made into one that the constraint library enforces as it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PreparedSchema:
    """A schema that can be enforced.

    Attributes:
        schema: accepts no text that the client's schema rejects.
        warnings: parts of the client's schema that only describe, and values that it allows and that are not written.
    """

    schema: dict[str, Any]
    warnings: tuple[str, ...] = ()


def prepare_schema(schema: dict[str, Any]) -> PreparedSchema:
    """A schema ready to be enforced; references are resolved from its own root.

    Args:
        schema: in JSON Schema's words, draft 4 to 2020-12.

    Raises:
        InputError: nothing can satisfy it, or a keyword of it cannot be enforced; the message says what to write.
    """
    return PreparedSchema(schema=schema)
