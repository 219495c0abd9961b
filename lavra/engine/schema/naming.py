"""`propertyNames`, expressed by properties and patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lavra.engine.schema.forms import Matches, ObjectForm, SchemaForm, SpotKey, TextForm, ValueForm
from lavra.engine.schema.patterns import found_in
from lavra.engine.schema.spots import Spot

_FORBIDDEN: Final[SpotKey] = (Spot("propertyNames", False),)


def apply_names(form: ObjectForm, names: Sequence[SchemaForm], matches: Matches) -> SchemaForm:
    """The same objects without `propertyNames`; with a hindrance if names cannot be expressed otherwise."""
    forms = [one for one in names if _has_strings(one)]
    named = {name: key if matches(name, form.names) else _FORBIDDEN for name, key in form.properties.items()}
    if any(one.nots for one in forms):
        return replace(form, hindrance="propertyNames with not; list the properties")
    if all(isinstance(one, ValueForm) for one in forms):
        strings = [name for one in forms if isinstance(one, ValueForm) for name in one.values if isinstance(name, str)]
        listed = {name: _of_name(form, name) for name in strings if name not in named}
        return replace(form, properties={**named, **listed}, patterns={}, rest=_FORBIDDEN, names=())
    text = forms[0]
    if len(forms) > 1 or not isinstance(text, TextForm):
        return replace(form, hindrance="propertyNames with alternatives; use patternProperties")
    pattern = _one_pattern(text)
    if pattern is None or form.patterns:
        return replace(
            form, hindrance="propertyNames beside patternProperties, or with several bounds; use patternProperties"
        )
    if pattern == "":
        return replace(form, properties=named, names=())
    return replace(form, properties=named, patterns={pattern: form.rest}, rest=_FORBIDDEN, names=())


def _has_strings(form: SchemaForm) -> bool:
    return isinstance(form, TextForm) or (
        isinstance(form, ValueForm) and any(isinstance(one, str) for one in form.values)
    )


def _of_name(form: ObjectForm, name: str) -> SpotKey:
    found = {spot.pointer: spot for pattern, key in form.patterns.items() if found_in(pattern, name) for spot in key}
    matched = any(found_in(pattern, name) for pattern in form.patterns)
    return tuple(found.values()) if matched else form.rest


def _one_pattern(form: TextForm) -> str | None:
    """A pattern of the same strings; the empty pattern for all strings."""
    bounded = form.least > 0 or form.most is not None
    if (bounded and form.patterns) or len(form.patterns) > 1:
        return None
    if bounded:
        return rf"^[\s\S]{{{form.least},{'' if form.most is None else form.most}}}$"
    return form.patterns[0] if form.patterns else ""
