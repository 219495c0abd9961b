"""Check whether patterns and lengths leave any string: the constraint library can intersect regular expressions.

The library derives the expressions' intersection (Brzozowski 1964) and reports an empty one; an undecided case counts
as not empty, and so does every case if the library is not installed.
"""

from __future__ import annotations

import json
from functools import lru_cache

from lavra.base.errors import InputError
from lavra.engine.schema.patterns import for_constraint


@lru_cache(maxsize=512)
def leaves_no_text(patterns: tuple[str, ...], least: int, most: int | None) -> bool:
    """Whether no string of these lengths matches all the patterns.

    Args:
        patterns: patterns of JSON Schema.
        least: fewest characters.
        most: most characters; `None` for any number.
    """
    try:
        import llguidance  # noqa: PLC0415 - only constrained requests need it
    except ImportError:
        return False
    try:
        parts = [{"type": "string", "pattern": for_constraint(pattern)} for pattern in patterns]
    except InputError:  # it is refused where it is written
        return False
    lengths = {"minLength": least} | ({} if most is None else {"maxLength": most})
    schema = json.dumps({"type": "string", **lengths, "allOf": parts})
    error = llguidance.LLMatcher.validate_grammar(llguidance.LLMatcher.grammar_from_json_schema(schema))
    return "Regex is empty" in error
