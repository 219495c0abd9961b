"""Types as a user meets them: what a setting may be given as, and how that is written.

Settings are read as in a YAML file (lavra/base/convert.py): a path may be text, a duration "4m", an enum its word, a
nested dataclass a mapping.  So the type to show is wider than the field's own.  A number may be written as text too;
that is left out, so that a type checker refuses `epochs="x"`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lavra.base.convert import Written
from lavra.base.one_of import one_of_in


def accepted_type(hint: Any) -> Any:
    """The type of the values that are read for a field of a type, such as `str | Path` for `Path`."""
    origin, inner = get_origin(hint), get_args(hint)
    mark = one_of_in(hint)
    if mark is not None:
        return inner[0] | _words(mark.starts()) | Mapping[str, Any]
    if origin is Annotated:
        return inner[0] | str if any(isinstance(one, Written) for one in inner[1:]) else accepted_type(inner[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(accepted_type, inner))
    if origin is tuple and inner[-1] is Ellipsis:
        item = accepted_type(inner[0])
        items = [*get_args(item), item] if get_origin(item) is UnionType else [item]
        lists = [GenericAlias(list, one) for one in items]  # a list[str] is no list[str | Path]
        return reduce(or_, lists) | GenericAlias(tuple, (item, ...))
    if origin is Mapping:
        return GenericAlias(Mapping, (inner[0], accepted_type(inner[1])))
    return _accepted_class(hint) if isinstance(hint, type) else hint


def type_text(hint: Any, imports: dict[str, set[str]] | None = None) -> str:
    """A type as one writes it, None last: `str | Path | None`.

    Args:
        hint: the type.
        imports: module -> names; it receives those that the text needs.
    """
    imports = {} if imports is None else imports
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Ellipsis or hint in (None, type(None)):
        return "..." if hint is Ellipsis else "None"
    if origin in (Union, UnionType):
        return " | ".join(type_text(one, imports) for one in sorted(inner, key=lambda one: one is type(None)))
    if origin is Literal:
        imports.setdefault("typing", set()).add("Literal")
        return f"Literal[{', '.join(json.dumps(one) if isinstance(one, str) else repr(one) for one in inner)}]"
    if origin is not None:
        return f"{type_text(origin, imports)}[{', '.join(type_text(one, imports) for one in inner)}]"
    if hint.__module__ != "builtins":
        imports.setdefault(hint.__module__, set()).add(hint.__qualname__)
    name: str = hint.__qualname__
    return name


def _accepted_class(cls: type) -> Any:
    if cls is Path:
        return str | Path
    if issubclass(cls, Enum):
        return cls | _words(member.value for member in cls)
    return cls | Mapping[str, Any] if dataclasses.is_dataclass(cls) else cls


def _words(words: Iterable[str]) -> Any:
    return Literal.__getitem__(tuple(words))
