"""Plain data to settings dataclass and back, field by field, by the field's own type.

This module alone knows the written form of a value: `1e-3` is a number, `4m` a duration, a list a tuple.  Every
error names the value, the expected form and its place.  `config.py` reads files and command lines.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lavra.base.bounds import bounds_in
from lavra.base.errors import ConfigError, nearest
from lavra.base.one_of import (
    NAME,
    OneOf,
    as_table,
    fold_short_keys,
    of_others,
    one_of_in,
    one_of_settings,
    short_keys_named,
    write_one_of,
)
from lavra.base.units import format_duration, format_size, parse_duration, parse_size

T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """A value's notation, such as a number with a unit.

    Attributes:
        metavar: placeholder of the value in the help.
        parse: text -> value.
        show: value -> text that `parse` reads.
        keep: value -> plain data for cards and hashes; the value itself unless given.
    """

    metavar: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]
    keep: Callable[[Any], Any] | None = None


Duration = Annotated[float, Written("TIME", parse_duration, format_duration)]
"""Seconds; may be written `30s`, `4m`, `1h30m`."""

Size = Annotated[int, Written("SIZE", parse_size, format_size)]
"""Bytes; may be written `64MB` (10^6) or `64MiB` (2^20)."""


# ---------------------------------------------------------------- plain data -> dataclass


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Build a settings dataclass from plain data.

    Args:
        cls: a dataclass whose fields are int, float, bool, str, Path, Literal, Enum, Optional, tuple, list,
            Mapping, `Duration`, `Size` or further dataclasses, `OneOf` several included.
        mapping: values by field name; text is read as the field's type, so `"1e-3"` is a number.
        where: name of the source in errors (`run.yaml`).

    Raises:
        ConfigError: an unknown key (with the nearest valid one), a missing one, or a value of the wrong type.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where or cls.__name__}: {mapping!r} is not a set of settings; write `name: value` lines")
    fields = setting_fields(cls)
    for key in mapping:
        if key not in setting_names(cls):
            raise ConfigError(f"{_at(where, str(key))}: unknown setting {key!r}{nearest(str(key), setting_names(cls))}")
    given, hints = mapping, get_type_hints(cls, include_extras=True)
    marks = one_of_settings(cast(type, cls))
    mapping, short = fold_short_keys(marks, mapping, lambda key, hint: convert(hint, given[key], _at(where, key)))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in mapping:
            value = _overdefault_of(field, mapping[name])
            with short_keys_named(short):
                values[name] = convert(hints[name], value, _at(where, name))
        elif default_of(field) is MISSING:
            raise ConfigError(f"{_at(where, name)}: required but not given; it is: {field_docs(cls).get(name, name)}")
    return cls(**values)


def to_mapping(settings: object) -> dict[str, Any]:
    """The plain data of a settings dataclass: types that JSON and YAML can hold, and that `from_mapping` reads back."""
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        raise TypeError(f"{settings!r} is not a settings dataclass instance")
    kept = {name: written.keep for name, written in _notations(type(settings)).items() if written.keep is not None}
    values = {name: getattr(settings, name) for name in setting_fields(type(settings))}
    marks = one_of_settings(type(settings))
    plain = {
        name: kept[name](value) if name in kept and value is not None else _plain(value)
        for name, value in values.items()
        if name not in marks
    }
    for name, mark in marks.items():
        plain |= write_one_of(mark, name, values[name], to_mapping)
    return plain


@functools.cache
def _notations(cls: type) -> dict[str, Written]:
    """The notation of each field that has a notation, an optional field's included."""
    found: dict[str, Written] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for member in (hint, *get_args(hint)):
            if get_origin(member) is Annotated:
                found.update((name, extra) for extra in get_args(member) if isinstance(extra, Written))
    return found


def field_docs(cls: type) -> dict[str, str]:
    """The description of each field, from the `Attributes:` sections of a dataclass and its bases (Google style)."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        section = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")[2]
        section = re.split(r"\n(?=\S)", section)[0]  # up to the next unindented line
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            docs[name] = " ".join(text.split())
    return docs


def short_key_docs(cls: type) -> dict[str, str]:
    """The description of each short key of a dataclass, from the docstrings of the settings inside."""
    return {
        short.key: f"of {', '.join(mark.words_with(short.field))}: "
        + field_docs(mark.class_with(short.field)).get(short.field, "")
        for mark in one_of_settings(cls).values()
        for short in mark.short_keys
    }


def setting_fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass that a user may set, by name."""
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def setting_names(cls: type) -> list[str]:
    """The keys that plain data of a dataclass may have: its fields, and short keys of fields further inside."""
    short = [one.key for mark in one_of_settings(cls).values() for one in mark.short_keys]
    return [*setting_fields(cls), *short]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """A field's default value, or `dataclasses.MISSING`."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _overdefault_of(field: dataclasses.Field[Any], value: Any) -> Any:
    """Lay a nested mapping over the field's own default, not over the nested class's default."""
    default = default_of(field)
    if isinstance(value, Mapping) and dataclasses.is_dataclass(default) and not isinstance(default, type):
        return merge(to_mapping(default), value)
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `base`, table by table; both arguments stay unchanged."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _at(where: str, key: str) -> str:
    """`run.yaml: model.width`: the file, then the path of the key in it."""
    if not where:
        return key
    return f"{where}.{key}" if ": " in where else f"{where}: {key}"


# ---------------------------------------------------------------- one value


def convert(hint: Any, value: Any, where: str) -> Any:
    """Convert a value to the type `hint`; `where` names its place in errors."""
    mark, origin = one_of_in(hint), get_origin(hint) or hint
    if mark is not None:
        return _convert_one_of(mark, value, where)
    if origin in _CONVERTERS:
        return _CONVERTERS[origin](hint, value, where)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, cast(type, hint)) else from_mapping(cast(type, hint), value, _open(where))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _convert_enum(hint, value, where)
    raise TypeError(f"{where}: settings of type {hint!r} are not supported")  # a mistake of ours, not the user's


def _convert_one_of(mark: OneOf, value: Any, where: str) -> Any:
    starts = mark.starts()
    if value is None or type(value) in mark.classes():
        return value
    if not isinstance(value, str | Mapping):
        raise _refuse(where, value, "a name or a table of settings", f"a name such as {next(iter(starts))}")
    table = as_table(value)
    word = table.pop(NAME, mark.word_of(None))
    if word not in starts:
        raise ConfigError(f"{where}: unknown value {word!r}{nearest(str(word), starts)}")
    start = starts[word]
    for key in table:
        words = mark.words_with(key)
        if word not in words and words:
            name = where.rpartition(": ")[2]
            raise ConfigError(f"{where}.{key}: {of_others(words, f'`{name}`', word)}")
    if start is None and table:
        raise ConfigError(f"{where}: {word!r} has no settings, and {', '.join(map(str, table))} is given; leave it out")
    return None if start is None else from_mapping(type(start), merge(to_mapping(start), table), _open(where))


def _open(where: str) -> str:
    """Mark `where` as a key path, so that nested keys join it by a dot even outside a file."""
    return where if ": " in where else f"settings: {where}"


def _refuse(where: str, value: object, wanted: str, example: str) -> ConfigError:
    return ConfigError(f"{where}: {value!r} is not {wanted}; write {example}")


def _convert_int(_: Any, value: Any, where: str) -> int:
    number = _number(value)
    if number is None or (isinstance(number, float) and not number.is_integer()):
        raise _refuse(where, value, "a whole number", "one such as 8 or 1e6")
    return int(number)


def _convert_float(_: Any, value: Any, where: str) -> float:
    number = _number(value)
    if number is None:
        raise _refuse(where, value, "a number", "one such as 0.1 or 1e-3")
    return float(number)


def _number(value: Any) -> int | float | None:
    """The number a value is or spells (YAML 1.1 reads `1e-3` as text); None for anything else, NaN and bools too."""
    if isinstance(value, str):
        for read in (int, float):
            try:
                return _number(read(value))
            except ValueError:
                continue
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return value


def _convert_bool(_: Any, value: Any, where: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise _refuse(where, value, "a yes or a no", "true or false")


def _convert_str(_: Any, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _refuse(where, value, "text", f"it in quotes: {str(value)!r}")
    return value


def _convert_path(_: Any, value: Any, where: str) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise _refuse(where, value, "a path", "the name of a file or folder")
    return Path(value).expanduser()


def _convert_annotated(hint: Any, value: Any, where: str) -> Any:
    inner, *extras = get_args(hint)
    written = next((extra for extra in extras if isinstance(extra, Written)), None)
    if written is not None and isinstance(value, str):
        try:
            value = written.parse(value)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    found = convert(inner, value, where)
    bounds = bounds_in(hint)
    if bounds is not None:
        bounds.check(where, found)
    return found


def _convert_union(hint: Any, value: Any, where: str) -> Any:
    members = [member for member in get_args(hint) if member is not type(None)]
    optional = len(members) < len(get_args(hint))
    says_none = isinstance(value, str) and value.lower() in ("none", "null") and str not in members
    if optional and (value is None or says_none):
        return None
    # A value that already has one of the types keeps it: `int | str` must not turn "5" into 5.
    ordered = sorted(members, key=lambda member: type(value) not in (member, get_origin(member)))
    errors: list[str] = []
    for member in ordered:
        try:
            return convert(member, value, where)
        except ConfigError as error:
            errors.append(str(error).removeprefix(f"{where}: "))
    raise ConfigError(f"{where}: " + "; or: ".join(errors))


def _convert_literal(hint: Any, value: Any, where: str) -> Any:
    for choice in get_args(hint):
        if (type(choice) is type(value) and choice == value) or (isinstance(value, str) and str(choice) == value):
            return choice
    raise ConfigError(f"{where}: unknown value {value!r}{nearest(str(value), map(str, get_args(hint)))}")


def _convert_enum(hint: type[Enum], value: Any, where: str) -> Enum:
    for member in hint:
        if value is member or value == member.value or (isinstance(value, str) and value == str(member.value)):
            return member
    known = [str(member.value) for member in hint]
    raise ConfigError(f"{where}: unknown value {value!r}{nearest(str(value), known)}")


def _convert_sequence(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _refuse(where, value, "a list", f"[{value}]")
    items = get_args(hint) or (Any,)
    if get_origin(hint) is list or items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise ConfigError(f"{where}: {list(value)!r} has {len(value)} values; write exactly {len(items)}")
    converted = [convert(item, part, f"{where}[{i}]") for i, (item, part) in enumerate(zip(items, value, strict=True))]
    return converted if get_origin(hint) is list else tuple(converted)


def _convert_table(hint: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _refuse(where, value, "a table", "`name: value` lines")
    inner = (get_args(hint) or (str, Any))[1]
    return {
        _convert_str(str, key, where): convert(inner, item, _at(_open(where), str(key))) for key, item in value.items()
    }


def _keep(_: Any, value: Any, __: str) -> Any:
    return value


_CONVERTERS: dict[Any, Callable[[Any, Any, str], Any]] = {
    int: _convert_int,
    float: _convert_float,
    bool: _convert_bool,
    str: _convert_str,
    Path: _convert_path,
    Annotated: _convert_annotated,
    Union: _convert_union,
    types.UnionType: _convert_union,
    Literal: _convert_literal,
    tuple: _convert_sequence,
    list: _convert_sequence,
    dict: _convert_table,
    Mapping: _convert_table,
    Any: _keep,
}
