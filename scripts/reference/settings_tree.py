"""The settings of a dataclass as a tree: each with its type, default and sentence, nested settings inside it.

Everything is read from the dataclass, as the readers of YAML files and flags read it (`lavra/base/convert.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import yaml

from lavra.base.bounds import bounds_in
from lavra.base.convert import Written, default_of, field_docs, setting_fields
from lavra.base.one_of import OneOf, one_of_in

_WORDS: Final[Mapping[Any, str]] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Any: "any",
}
_SEVERAL: Final = {"whole number": "whole numbers", "number": "numbers", "text": "texts", "path": "paths"}
_UNITS: Final = {"TIME": "time, such as `4m`", "SIZE": "size, such as `64MB`"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting of a dataclass.

    Attributes:
        path: its name, behind the names of the settings around it, joined by dots.
        hint: its type.
        sentence: its description.
        default: its default value, or `MISSING`.
        inside: nested settings, at the defaults that they have here.
        mark: mark of a setting with several variants.
    """

    path: str
    hint: Any
    sentence: str
    default: Any
    inside: tuple[Setting, ...] = ()
    mark: OneOf | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING

    def written(self, value: Any) -> str:
        """A value as a YAML file has it, on one line."""
        notation = _notation(self.hint)
        if self.mark is not None:
            plain: Any = self.mark.word_of(value)
        elif notation is not None and value is not None:
            plain = notation.show(value)
        else:
            plain = value
        return in_yaml(plain)

    def type_in_words(self) -> str:
        """Its type, in words."""
        if self.mark is not None:
            return _choices(self.mark.starts())
        if self.inside:
            return "settings, or `null`" if NoneType in get_args(self.hint) else "settings"
        return _in_words(self.hint)


def settings_of(cls: type, default: Any = MISSING, prefix: str = "") -> tuple[Setting, ...]:
    """The settings of a dataclass, at the values of `default` where it is an instance.

    Raises:
        ValueError: a field has no sentence.
    """
    return tuple(_settings(cls, default, prefix))


def _settings(cls: type, default: Any, prefix: str) -> Iterator[Setting]:
    hints, docs = get_type_hints(cls, include_extras=True), field_docs(cls)
    for name, field in setting_fields(cls).items():
        if not docs.get(name):
            raise ValueError(f"{cls.__name__}.{name} has no sentence; give it one under `Attributes:` of its class")
        value = default_of(field) if default in (MISSING, None) else getattr(default, name)
        inner = _without_none(hints[name])
        nested = dataclasses.is_dataclass(inner)
        yield Setting(
            path=prefix + name,
            hint=hints[name],
            sentence=docs[name],
            default=value,
            inside=settings_of(cast(type, inner), value, f"{prefix}{name}.") if nested else (),
            mark=one_of_in(hints[name]),
        )


def variants(setting: Setting) -> dict[str, tuple[Setting, ...]]:
    """The settings of each variant of a setting, by its word."""
    starts = {} if setting.mark is None else setting.mark.starts()
    return {
        word: settings_of(type(start), start, f"{setting.path}.") for word, start in starts.items() if start is not None
    }


def in_yaml(value: Any) -> str:
    """A value on one line of YAML."""
    text: str = yaml.safe_dump(
        _plain(value), default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _notation(hint: Any) -> Written | None:
    extras = [extra for one in (hint, *get_args(hint)) if get_origin(one) is Annotated for extra in get_args(one)]
    return next((extra for extra in extras if isinstance(extra, Written)), None)


def _without_none(hint: Any) -> Any:
    members = [member for member in get_args(hint) if member is not NoneType]
    return members[0] if NoneType in get_args(hint) and len(members) == 1 else hint


def _in_words(hint: Any) -> str:
    origin, notation = get_origin(hint), _notation(hint)
    if NoneType in get_args(hint):
        return f"{_in_words(_without_none(hint))}, or `null`"
    if notation is not None:
        return _UNITS.get(notation.metavar) or _choices(notation.metavar.strip("{}").split(","))
    if origin is Annotated:
        bounds = bounds_in(hint)
        return _in_words(get_args(hint)[0]) + ("" if bounds is None else f", {bounds}")
    if origin is Literal:
        return _choices(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choices(member.value for member in hint)
    if origin in (tuple, list):
        return f"list of {_several(get_args(hint)[0])}"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {_several(get_args(hint)[1])}"
    return _WORDS[hint] if hint in _WORDS else " or ".join(map(_in_words, get_args(hint)))


def _several(hint: Any) -> str:
    words = _in_words(hint)
    return _SEVERAL.get(words, words.replace("list of", "lists of", 1))


def _choices(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)
