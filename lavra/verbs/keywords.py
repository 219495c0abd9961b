"""Settings given to a function as keyword arguments: one for each field of a dataclass, or `settings=`.

Values are read as in a YAML file (`budget="4m"`, `task="classify"`), and an unknown name is an error that names the
nearest.  `takes` shows the fields in `help()` and to editors, so that they are named and explained in one place.
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, get_type_hints

from lavra.base.convert import (
    default_of,
    field_docs,
    from_mapping,
    merge,
    setting_fields,
    short_key_docs,
    to_mapping,
)
from lavra.base.errors import ConfigError
from lavra.base.one_of import one_of_settings
from lavra.base.written_types import accepted_type, type_text

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_WIDTH = 100


def read_keywords(cls: type[T], settings: T | None, given: Mapping[str, Any]) -> T:
    """The settings of a call: values given by name, over `settings`, over the defaults.

    Args:
        cls: the dataclass.
        settings: all settings at once, or None; its values are read as those by name are.
        given: values by field name.

    Raises:
        ConfigError: a name is unknown, a value is of the wrong type or out of range, or a required value is missing.
    """
    if settings is None:
        return from_mapping(cls, given)
    if not isinstance(settings, cls):
        raise ConfigError(
            f"settings is of type {type(settings).__name__}; give a {cls.__name__}, or its values by name (`epochs=3`)"
        )
    whole = from_mapping(cls, {name: getattr(settings, name) for name in setting_fields(cls)})
    return from_mapping(cls, merge(to_mapping(whole), given)) if given else whole


def takes(cls: type, *, without: Collection[str] = ()) -> Callable[[F], F]:
    """Show the fields of a settings dataclass in the signature and the docstring of a function.

    Args:
        cls: the dataclass that its `**fields` are read into.
        without: fields that the function has parameters of its own for.
    """
    shown = {name: field for name, field in setting_fields(cls).items() if name not in without}

    def decorate(function: F) -> F:
        own = inspect.signature(function)
        named = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {one.name for one in named}
        hints = get_type_hints(cls, include_extras=True)
        fields = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_shown_default(field), annotation=_shown_type(hints[name])
            )
            for name, field in shown.items()
            if name not in taken
        ]
        fields += _short_keys(cls)
        function.__signature__ = own.replace(parameters=[*named, *fields])  # type: ignore[attr-defined]
        function.__doc__ = _with_fields(inspect.cleandoc(function.__doc__ or ""), cls, [one.name for one in fields])
        return function

    return decorate


def _short_keys(cls: type) -> list[inspect.Parameter]:
    """Parameters for the fields of a nested settings class, which is one of several."""
    return [
        inspect.Parameter(
            short.key,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if short.kept == [] else short.kept,
            annotation=_shown_type(mark.hint_of(short)),
        )
        for mark in one_of_settings(cls).values()
        for short in mark.short_keys
    ]


def _shown_type(hint: Any) -> str:
    """The types that are read for a field, as text, which `help()` shows as it shows the function's own."""
    return type_text(accepted_type(hint))


def _shown_default(field: Any) -> Any:
    """A field's default; empty for a required field."""
    value = default_of(field)
    return inspect.Parameter.empty if value is dataclasses.MISSING else value


def _with_fields(doc: str, cls: type, names: Collection[str]) -> str:
    """A docstring with a section that describes each field."""
    docs = field_docs(cls) | short_key_docs(cls)
    lines = [
        textwrap.fill(f"{name}: {docs.get(name, '')}", _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for name in names
    ]
    return "\n".join([doc, "", f"Settings (fields of `{cls.__name__}`):", *lines]) if lines else doc
