"""Write facts for a database that compares one kind of value at a time: some typed keys for each fact.

A fact may be a number in one document and text in another, and databases differ about equality and order: what a list
equals, whether true is 1, whether a missing field is unequal to a value.  So each fact becomes plain keys whose
comparison is the same everywhere, and each condition a comparison of one such key:

    is_FIELD   the whole value as text: `n1` (also of 1.0 and true), `sword`, `t2:a|b`    equal, unequal, in, not in
    has_FIELD  its words, or itself as the only one, as a list of such texts              has any
    num_FIELD  a number                                                                   order of numbers
    ord_FIELD  text whose order is that of the characters (UTF-8 in hexadecimal digits)   order of texts

Keys and texts are written with letters, digits and a few harmless signs, everything else as `%XX`; no quote or
backslash of a document ever stands in a database's expression.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.retrieval import ACCESS, EVERYONE, Condition, MetaValue, Operator, Where
from lavra.rag.stores.facts import check_conditions, facts_text

_EXACT_INTEGERS: Final = 1 << 53  # beyond this number, a float64 does not hold every integer
_PLAIN: Final = frozenset(" -_.:/@+")


class Relation(Enum):
    """The comparison of a key with values."""

    ONE_OF = "one of"
    NONE_OF = "none of"  # the key exists, and equals none of them
    ANY_OF = "any of"  # the key is a list with at least one of them
    AT_LEAST = ">="
    AT_MOST = "<="
    OVER = ">"
    UNDER = "<"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyComparison:
    """A condition on one typed key.

    Attributes:
        key: name of the key.
        relation: kind of comparison.
        values: the texts, or for an order a single number or text.
    """

    key: str
    relation: Relation
    values: tuple[str | float, ...]


_ORDER: Final = {
    Operator.AT_LEAST: Relation.AT_LEAST,
    Operator.AT_MOST: Relation.AT_MOST,
    Operator.OVER: Relation.OVER,
    Operator.UNDER: Relation.UNDER,
}


def typed(facts: Mapping[str, MetaValue], *, order_texts: bool) -> dict[str, Any]:
    """Write some facts as typed keys.

    Raises:
        InputError: a fact is of a kind that conditions do not support, or a whole number that a float64 cannot hold.
    """
    facts_text(facts)
    found: dict[str, Any] = {}
    for name, value in {ACCESS: (EVERYONE,), **facts}.items():
        field = _name(name)
        found[f"is_{field}"] = _text(value)
        found[f"has_{field}"] = [_text(word) for word in (value if isinstance(value, tuple) else (value,))]
        if isinstance(value, int | float):
            if abs(value) > _EXACT_INTEGERS and isinstance(value, int):
                raise InputError(f"the fact {name!r} is {value}, beyond 2^53; keep it as text")
            found[f"num_{field}"] = float(value)
        elif isinstance(value, str) and order_texts:
            found[f"ord_{field}"] = _ordered(value)
    return found


def comparisons(where: Where) -> tuple[KeyComparison, ...] | None:
    """Write conditions as comparisons that all hold where every condition is met; `None` where nothing can meet them.

    Raises:
        InputError: a condition compares with nan.
    """
    check_conditions(where)
    found = [_comparison(condition) for condition in where]
    if any(one is None for one in found):
        return None
    return tuple(one for one in found if one is not None)


def _comparison(condition: Condition) -> KeyComparison | None:
    field, value = _name(condition.field), condition.value
    several = value if isinstance(value, tuple) else (value,)
    match condition.operator:
        case Operator.EQUAL | Operator.NOT_EQUAL:
            relation = Relation.ONE_OF if condition.operator is Operator.EQUAL else Relation.NONE_OF
            return KeyComparison(key=f"is_{field}", relation=relation, values=(_text(value),))
        case Operator.NOT_IN:
            return KeyComparison(key=f"is_{field}", relation=Relation.NONE_OF, values=tuple(map(_text, several)))
        case Operator.IN | Operator.HAS_ANY:
            if not several:
                return None
            key, relation = ("is", Relation.ONE_OF) if condition.operator is Operator.IN else ("has", Relation.ANY_OF)
            return KeyComparison(key=f"{key}_{field}", relation=relation, values=tuple(map(_text, several)))
    if isinstance(value, tuple):
        return None  # nothing is greater than a list
    relation = _ORDER[condition.operator]
    if isinstance(value, str):
        return KeyComparison(key=f"ord_{field}", relation=relation, values=(_ordered(value),))
    most = sys.float_info.max  # no fact is infinite
    return KeyComparison(key=f"num_{field}", relation=relation, values=(min(max(float(value), -most), most),))


def _text(value: Any) -> str:
    """Write a value as text: equal values give equal texts, others never."""
    if isinstance(value, tuple):
        return f"t{len(value)}:" + "|".join(map(_escaped, map(str, value)))
    if isinstance(value, str):
        return f"s{_escaped(value)}"
    number = int(value) if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()) else value
    return f"n{number!r}"


def _escaped(text: str) -> str:
    return "".join(c if c.isalnum() or c in _PLAIN else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


def _ordered(text: str) -> str:
    return text.encode().hex()


def _name(field: str) -> str:
    """Write a field's name in letters, digits and underscores of ASCII; different names stay different."""
    return "".join(c if c.isascii() and c.isalnum() else "__" if c == "_" else f"_{ord(c):x}_" for c in field)
