"""The keys that some finite value satisfies: the least fixed point over the forms of all reached keys.

A recursive type without an end, a required property that no value satisfies, a list that needs itself: none of these
is ever found to have a value.  Keywords that only describe or cannot be enforced count as satisfiable.
"""

from __future__ import annotations

from collections.abc import Iterator

from lavra.engine.schema.conjunction import Conjunctions, name_of
from lavra.engine.schema.forms import ArrayForm, ObjectForm, SchemaForm, SpotKey


class Satisfiable:
    """The satisfiable keys among those reached from the given keys.

    Args:
        conjunctions: source of the forms.
        keys: keys to begin with.
    """

    def __init__(self, conjunctions: Conjunctions, *keys: SpotKey) -> None:
        self._conjunctions = conjunctions
        self._reached: dict[frozenset[str], SpotKey] = {}
        self._found: set[frozenset[str]] = set()
        self._reach(keys)
        self._settle()

    def has(self, key: SpotKey) -> bool:
        """Whether some value satisfies a reached key."""
        return name_of(key) in self._found

    def alive(self, key: SpotKey) -> list[SchemaForm]:
        """Forms of a key that some value satisfies."""
        return [form for form in self._conjunctions.forms(key) if self._has_value(form)]

    def reason(self, key: SpotKey) -> str:
        """The reason why no value satisfies a key."""
        passed: set[frozenset[str]] = set()
        while name_of(key) not in passed:
            passed.add(name_of(key))
            needed = [one for form in self._conjunctions.forms(key) for one in _needed(form) if not self.has(one)]
            if not needed:
                return f"the keywords at {' and '.join(spot.pointer for spot in key[:3])} exclude one another"
            key = needed[0]
        return f"the schema at {key[0].pointer} needs a value of itself, without an end"

    def _reach(self, keys: tuple[SpotKey, ...]) -> None:
        todo = list(keys)
        while todo:
            key = todo.pop()
            if name_of(key) in self._reached:
                continue
            self._reached[name_of(key)] = key
            for form in self._conjunctions.forms(key):
                todo.extend(inner_keys(form))

    def _settle(self) -> None:
        left = dict(self._reached)
        grown = True
        while grown:
            grown = False
            for name, key in list(left.items()):
                if any(self._has_value(form) for form in self._conjunctions.forms(key)):
                    self._found.add(name)
                    del left[name]
                    grown = True

    def _has_value(self, form: SchemaForm) -> bool:
        if isinstance(form, ArrayForm):
            return all(self.has(key) for key in _needed(form))
        if isinstance(form, ObjectForm):
            return all(self.has(key) for key in _needed(form)) and self._enough(form)
        return True

    def _enough(self, form: ObjectForm) -> bool:
        """Whether the required number of properties can be present."""
        if self.has(form.rest) or any(self.has(key) for key in form.patterns.values()):
            return True
        return sum(self.has(key) for key in form.properties.values()) >= form.least


def inner_keys(form: SchemaForm) -> Iterator[SpotKey]:
    """Keys of all parts inside a form."""
    if isinstance(form, ArrayForm):
        yield from form.first
        yield form.rest
    elif isinstance(form, ObjectForm):
        yield from form.properties.values()
        yield from form.patterns.values()
        yield form.rest


def _needed(form: SchemaForm) -> Iterator[SpotKey]:
    """Keys of the required parts inside a form."""
    if isinstance(form, ArrayForm):
        yield from form.first[: form.least]
        if form.least > len(form.first):
            yield form.rest
    elif isinstance(form, ObjectForm):
        yield from (form.properties[name] for name in form.properties if name in form.required)
