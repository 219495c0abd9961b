"""Places in a schema, and the references between them.

A spot is one schema at its JSON pointer; two spots are the same when their pointers are.  A reference is resolved
against the nearest `$id` around it, as embedded schemas want it
(https://json-schema.org/draft/2020-12/json-schema-core, 8.2 and 9.2).  Nothing is fetched: a reference to elsewhere is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin

from lavra.base.errors import InputError

_OLD_DRAFTS: Final = ("draft-03", "draft-04", "draft-06", "draft-07")
# Their values are data, or names that look like keywords: no identifiers are read out of them.
_NO_SCHEMAS: Final = frozenset({"const", "enum", "default", "example", "examples"})


@dataclass(frozen=True, slots=True)
class Spot:
    """A schema at a place of a document.

    Attributes:
        pointer: JSON pointer of its place, `#` first.
        schema: the schema at this place.
        base: base of its relative references.
        lone_refs: whether siblings of `$ref` are ignored, as before draft 2019-09.
    """

    pointer: str
    schema: Any = field(compare=False)
    base: str = field(compare=False, default="")
    lone_refs: bool = field(compare=False, default=False)

    def inner(self, *steps: object) -> Spot:
        """A schema inside this one, by its keys."""
        value, pointer, base, old = self.schema, self.pointer, self.base, self.lone_refs
        for step in steps:
            value = value[step]
            pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
            base, old = _inherited(value, base, old)
        return Spot(pointer, value, base, old)

    def written(self, name: str, schema: Any) -> Spot:
        """A schema derived from this one, without a place of its own in the document."""
        return Spot(f"{self.pointer}~{name}", schema, self.base, self.lone_refs)


class SchemaDocument:
    """A schema with the schemas that it names.

    Args:
        schema: the whole document.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        base, old = _inherited(schema, "", False)
        self.root = Spot("#", schema, base, old)
        self._named: dict[str, Spot] = {"": self.root}
        self._find(self.root)

    def resolve(self, reference: str, spot: Spot) -> Spot:
        """The schema that a reference names.

        Raises:
            InputError: the reference has no target, or a target outside of the document.
        """
        whole, fragment = urldefrag(urljoin(spot.base, reference))
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            found = self._named.get(f"{whole}#{fragment}")
        else:
            found = self._named.get(whole)
            if found is not None and fragment:
                found = _at(found, fragment)
        if found is None:
            where = "elsewhere, and nothing is fetched" if whole not in self._named else "to nothing"
            raise InputError(f"$ref {reference[:200]!r} at {spot.pointer} leads {where}; put its schema under $defs")
        return found

    def _find(self, spot: Spot) -> None:
        """Record every `$id` and `$anchor`."""
        if isinstance(spot.schema, list):
            for number in range(len(spot.schema)):
                self._find(spot.inner(number))
        if not isinstance(spot.schema, dict):
            return
        if _own_id(spot.schema):
            self._named.setdefault(spot.base, spot)
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(spot.schema.get(keyword), str):
                self._named.setdefault(f"{spot.base}#{spot.schema[keyword]}", spot)
        for keyword in spot.schema:
            if keyword not in _NO_SCHEMAS:
                self._find(spot.inner(keyword))


def _own_id(schema: dict[str, Any]) -> str:
    """The schema's `$id` (`id` in draft 4), without a fragment."""
    found = schema.get("$id", schema.get("id"))
    return urldefrag(found)[0] if isinstance(found, str) else ""


def _inherited(value: Any, base: str, old: bool) -> tuple[str, bool]:
    if not isinstance(value, dict):
        return base, old
    own, draft = _own_id(value), value.get("$schema")
    if isinstance(draft, str):
        old = any(name in draft for name in _OLD_DRAFTS)
    return (urldefrag(urljoin(base, own))[0] if own else base), old


def _at(spot: Spot, path: str) -> Spot | None:
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(spot.schema, list) and key.isdecimal() and int(key) < len(spot.schema):
            spot = spot.inner(int(key))
        elif isinstance(spot.schema, dict) and key in spot.schema:
            spot = spot.inner(key)
        else:
            return None
    return spot if isinstance(spot.schema, (dict, bool)) else None
