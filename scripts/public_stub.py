"""Write lavra/__init__.pyi: the names of `import lavra` for editors and type checkers, with every setting of a verb.

    python scripts/public_stub.py          # writes
    python scripts/public_stub.py --check  # says whether the file agrees with the functions

A verb reads its settings from `**fields` as from a YAML file.  The stub has each setting by name, with its default and
the types that are read (lavra/base/written_types.py).
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
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_overloads, get_type_hints

import lavra
from lavra.base.one_of import one_of_settings
from lavra.base.written_types import accepted_type, type_text

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
            f" -> {type_text(own_hints['return'], imports)}:\n"
            f'    """{inspect.cleandoc(verb.__doc__ or "").splitlines()[0]}"""\n'
        )
    return found


def setting_hints(verb: Callable[..., Any]) -> dict[str, Any]:
    """The types that are read for each setting of a verb, short keys included."""
    own = get_type_hints(verb)
    cls = next(member for member in get_args(own["settings"]) if isinstance(member, type) and member is not NoneType)
    hints = get_type_hints(cls, include_extras=True)
    hints |= {short.key: mark.hint_of(short) for mark in one_of_settings(cls).values() for short in mark.short_keys}
    return {name: accepted_type(hint) for name, hint in hints.items() if name not in own}


def parameter_lines(parameters: Iterable[Parameter], hints: Mapping[str, Any], imports: Imports) -> Iterator[str]:
    """The lines of the parameters of a function, in order."""
    is_keyword = False
    for one in parameters:
        if one.kind is Parameter.KEYWORD_ONLY and not is_keyword:
            yield "    *,\n"
        is_keyword = is_keyword or one.kind in (Parameter.KEYWORD_ONLY, Parameter.VAR_POSITIONAL)
        star = "*" if one.kind is Parameter.VAR_POSITIONAL else ""
        yield f"    {star}{one.name}: {type_text(hints[one.name], imports)}{default(one.default)},\n"


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


if __name__ == "__main__":
    sys.exit(main())
