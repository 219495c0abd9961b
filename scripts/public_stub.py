"""Write lavra/__init__.pyi: the names of `import lavra` for editors and type checkers, with every setting of a verb.

    python scripts/public_stub.py          # writes
    python scripts/public_stub.py --check  # says whether the file agrees with the functions

A verb reads its settings from `**fields` as from a YAML file: a path may be text, a duration "4m", an enum its word.
The stub has each setting by name, with its default and the types that are read.  A number may be written as text too;
the stub leaves that out, so that a type checker refuses `epochs="x"`.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_overloads, get_type_hints

import lavra
from lavra.base.convert import Written
from lavra.base.one_of import one_of_in, one_of_settings

STUB: Final = Path(lavra.__file__).with_suffix(".pyi")
HEAD: Final = (
    '"""What `import lavra` offers, for editors and type checkers; scripts/public_stub.py writes this file."""\n'
)
Parameter = inspect.Parameter
Imports = defaultdict[str, set[str]]
"""Module -> names that are imported from it."""


def main() -> int:
    """Write the stub, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the stub is out of date")
    args = parser.parse_args()
    fresh = stub()
    if args.check:
        same = STUB.read_text(encoding="utf-8") == fresh
        print("up to date" if same else f"{STUB} is out of date; run python scripts/public_stub.py")
        return int(not same)
    STUB.write_text(fresh, encoding="utf-8")
    return 0


def stub() -> str:
    """The content of the stub."""
    imports: Imports = defaultdict(set)
    functions = []
    for name in lavra.__all__:
        found = getattr(lavra, name)
        if takes_settings(found):
            functions += definitions(found, imports)
        elif name != "__version__":
            imports[found.__module__].add(name)
    classes_first = sorted(lavra.__all__, key=lambda name: (not name[0].isupper(), name))
    listed = "".join(f'    "{name}",\n' for name in classes_first)
    return "\n".join([HEAD, *import_groups(imports), f"__version__: str\n\n__all__ = [\n{listed}]\n", *functions])


def takes_settings(found: object) -> bool:
    """Whether a public name is a function that takes settings by name."""
    return inspect.isfunction(found) and bool(found.__code__.co_flags & inspect.CO_VARKEYWORDS)


def import_groups(imports: Imports) -> Iterator[str]:
    """Import statements: those of the standard library, then those of lavra."""
    for ours in (False, True):
        modules = sorted(module for module in imports if module.startswith("lavra.") is ours)
        yield "".join(f"from {module} import {', '.join(sorted(imports[module]))}\n" for module in modules)


def definitions(verb: Callable[..., Any], imports: Imports) -> list[str]:
    """The definition of a verb, or of each of its overloads, with settings in the place of `**fields`."""
    hints, overloads = setting_hints(verb), get_overloads(verb)
    settings = [  # a required setting may stand in `settings` instead
        one.replace(default=...) if one.default is Parameter.empty else one
        for one in inspect.signature(verb).parameters.values()
        if one.name in hints
    ]
    found = []
    for one in overloads or [verb]:
        own_hints = get_type_hints(one, include_extras=True)
        own = [
            parameter
            for parameter in inspect.signature(one).parameters.values()
            if parameter.name in own_hints and parameter.kind is not Parameter.VAR_KEYWORD
        ]
        lines = "".join(parameter_lines([*own, *settings], own_hints | hints, imports))
        if overloads:
            imports["typing"].add("overload")
        found.append(
            f"{'@overload' + chr(10) if overloads else ''}def {verb.__name__}(\n{lines})"
            f" -> {shown(own_hints['return'], imports)}:\n"
            f'    """{inspect.cleandoc(verb.__doc__ or "").splitlines()[0]}"""\n'
        )
    return found


def setting_hints(verb: Callable[..., Any]) -> dict[str, Any]:
    """The types that are read for each setting of a verb, short keys included."""
    own = get_type_hints(verb)
    cls = next(member for member in get_args(own["settings"]) if isinstance(member, type) and member is not NoneType)
    hints = get_type_hints(cls, include_extras=True)
    hints |= {short.key: mark.hint_of(short) for mark in one_of_settings(cls).values() for short in mark.short_keys}
    return {name: accepted(hint) for name, hint in hints.items() if name not in own}


def accepted(hint: Any) -> Any:
    """The type of the values that are read for a setting of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    mark = one_of_in(hint)
    if mark is not None:
        return inner[0] | _words(mark.starts()) | Mapping[str, Any]
    if origin is Annotated:
        return inner[0] | str if any(isinstance(one, Written) for one in inner[1:]) else accepted(inner[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(accepted, inner))
    if origin is tuple and inner[-1] is Ellipsis:
        item = accepted(inner[0])
        items = [*get_args(item), item] if get_origin(item) is UnionType else [item]
        lists = [GenericAlias(list, one) for one in items]  # a list[str] is no list[str | Path]
        return reduce(or_, lists) | GenericAlias(tuple, (item, ...))
    if origin is Mapping:
        return GenericAlias(Mapping, (inner[0], accepted(inner[1])))
    return _accepted_class(hint) if isinstance(hint, type) else hint


def _accepted_class(cls: type) -> Any:
    if cls is Path:
        return str | Path
    if issubclass(cls, Enum):
        return cls | _words(member.value for member in cls)
    return cls | Mapping[str, Any] if dataclasses.is_dataclass(cls) else cls


def _words(words: Iterable[str]) -> Any:
    return Literal.__getitem__(tuple(words))


def parameter_lines(parameters: Iterable[Parameter], hints: Mapping[str, Any], imports: Imports) -> Iterator[str]:
    """The lines of the parameters of a function, in order."""
    is_keyword = False
    for one in parameters:
        if one.kind is Parameter.KEYWORD_ONLY and not is_keyword:
            yield "    *,\n"
        is_keyword = is_keyword or one.kind in (Parameter.KEYWORD_ONLY, Parameter.VAR_POSITIONAL)
        star = "*" if one.kind is Parameter.VAR_POSITIONAL else ""
        yield f"    {star}{one.name}: {shown(hints[one.name], imports)}{default(one.default)},\n"


def default(value: Any) -> str:
    """A default as it is written in the stub."""
    if value is Parameter.empty:
        return ""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f" = {type(value).__name__}()" if value == type(value)() else " = ..."
    plain = value.value if isinstance(value, Enum) else value
    if isinstance(plain, str):
        return f" = {json.dumps(plain)}"
    return " = ..." if plain is Ellipsis else f" = {plain!r}"


def shown(hint: Any, imports: Imports) -> str:
    """A type as it is written in the stub; notes its imports."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Ellipsis or hint in (None, type(None)):
        return "..." if hint is Ellipsis else "None"
    if origin in (Union, UnionType):
        return " | ".join(shown(one, imports) for one in sorted(inner, key=lambda one: one is type(None)))
    if origin is Literal:
        imports["typing"].add("Literal")
        return f"Literal[{', '.join(json.dumps(one) if isinstance(one, str) else repr(one) for one in inner)}]"
    if origin is not None:
        return f"{shown(origin, imports)}[{', '.join(shown(one, imports) for one in inner)}]"
    if hint.__module__ != "builtins":
        imports[hint.__module__].add(hint.__qualname__)
    name: str = hint.__qualname__
    return name


if __name__ == "__main__":
    sys.exit(main())
