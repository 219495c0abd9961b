"""Settings: one frozen dataclass serves Python, YAML files and command-line flags alike.

The dataclass is the only place a setting is named, typed, defaulted and documented: `from_mapping` reads it
from plain data, `load_yaml` from a file, `add_flags`/`from_flags` from a command line (flags win over the file,
the file over the defaults), and `to_mapping` writes it back.  An unknown key or value is an error that names the
nearest valid one.  YAML goes through `safe_load` alone; there are no environment variables, no interpolation and
no includes here, on purpose: all settings of a run must be readable in one place.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml

from lavra.base.convert import (
    Duration,
    Size,
    Written,
    convert,
    default_of,
    field_docs,
    from_mapping,
    merge,
    setting_fields,
    to_mapping,
)
from lavra.base.errors import ConfigError
from lavra.base.one_of import NAME, OneOf, as_table, one_of_in, one_of_settings
from lavra.base.units import parse_duration, parse_size

__all__ = [
    "Duration",
    "Size",
    "add_flags",
    "field_docs",
    "from_flags",
    "from_mapping",
    "load_yaml",
    "named_settings",
    "parse_duration",
    "parse_size",
    "to_mapping",
]

T = TypeVar("T")


def load_yaml(cls: type[T], path: Path, overrides: Mapping[str, Any] | None = None) -> T:
    """Read a settings dataclass from a YAML file, `overrides` (plain data, nested) winning over it.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key, or does not fit `cls`.
    """
    return from_mapping(cls, merge(_below(cls, _read_yaml(path), overrides or {}), overrides or {}), where=str(path))


def _below(cls: type, mapping: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A file's settings as nested tables, ready for `overrides` to be laid over them.

    The word of a `OneOf` setting becomes a table, over which flags of single fields can be laid.  A
    field in such a table gives way to a short key with the same meaning.
    """
    plain = dict(mapping)
    for name, mark in one_of_settings(cls).items():
        if isinstance(plain.get(name), str | Mapping):
            given_way = {short.field for short in mark.short_keys if short.key in overrides}
            plain[name] = {key: value for key, value in as_table(plain[name]).items() if key not in given_way}
    return plain


# ---------------------------------------------------------------- command line


def add_flags(parser: argparse.ArgumentParser, cls: type, *, exclude: Collection[str] = ()) -> None:
    """Give a parser one `--flag` per setting, nested ones as `--outer.inner`, with help from the class docstring.

    Flags have no default of their own, so that `from_flags` sees which flags were typed.  A verb
    that takes a setting as a positional argument adds it itself, under the field's name and with
    `default=argparse.SUPPRESS`, and excludes it here.
    """
    groups = {"": parser.add_argument_group("settings")}  # an outer setting first, whatever the order of the fields
    for flag in _flags(cls):
        if flag.path not in exclude:
            part = flag.path.rpartition(".")[0].replace("_", "-")
            if part not in groups:
                groups[part] = parser.add_argument_group(f"settings of {part}" if part else "settings")
            groups[part].add_argument(f"--{flag.name}", dest=flag.path, help=flag.help, **flag.shape)


def from_flags(
    cls: type[T],
    args: argparse.Namespace,
    config_file: Path | None = None,
    *,
    kept: Mapping[str, Any] | None = None,
) -> T:
    """Build the settings from the typed flags, over a YAML file, over the defaults.

    Args:
        cls: class of the settings.
        args: the parsed command line.
        config_file: the YAML file.
        kept: plain data that stands over the defaults and below the file: settings of something made earlier.

    Raises:
        ConfigError: a flag's value does not fit, or the file does not.
    """
    typed: dict[str, Any] = {}
    for flag in sorted(_flags(cls), key=lambda flag: flag.path.count(".")):
        if hasattr(args, flag.path):
            _put(typed, flag.keys, flag.read(getattr(args, flag.path)))
    if kept is not None:
        typed = merge(kept, typed if config_file is None else merge(_read_yaml(config_file), typed))
        return from_mapping(cls, typed, where="" if config_file is None else str(config_file))
    if config_file is None:
        return from_mapping(cls, typed)
    return load_yaml(cls, config_file, typed)


def named_settings(cls: type, args: argparse.Namespace, config_file: Path | None = None) -> frozenset[str]:
    """The outermost names of the settings that were typed or stand in the YAML file."""
    typed = {flag.path.partition(".")[0] for flag in _flags(cls) if hasattr(args, flag.path)}
    return frozenset(typed | (set() if config_file is None else set(_read_yaml(config_file))))


def _put(mapping: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        below = mapping.get(key)
        if below is None and key in mapping:
            raise ConfigError(
                f"--{'.'.join(path)}: sets a part of the settings that --no-{key} turns off; keep one of the two"
            )
        mapping = mapping.setdefault(key, {})
    mapping[path[-1]] = value


@dataclass(frozen=True, kw_only=True)
class _Flag:
    """A setting as a command-line flag.

    Attributes:
        path: field names from the outermost, joined by dots.
        hint: the field's type; for a switch (an optional group of settings), `bool`.
        doc: description of the setting, one sentence.
        default: its default, or MISSING.
        is_group: the flag switches a nested group of settings on or off.
        is_word: the flag chooses a variant of the settings by a word.
    """

    path: str
    hint: Any
    doc: str
    default: Any
    is_group: bool = False
    is_word: bool = False

    @property
    def name(self) -> str:
        return self.path.replace("_", "-")

    @property
    def keys(self) -> list[str]:
        """Path of the value in plain data."""
        return [*self.path.split("."), *([NAME] if self.is_word else [])]

    @property
    def help(self) -> str:
        note = "required" if self.default is MISSING else f"default: {_shown(self.hint, self.default)}"
        return f"{self.doc} ({note})".strip().replace("%", "%%")

    @property
    def shape(self) -> dict[str, Any]:
        """The part of `add_argument` that depends on the type."""
        hint = _without_none(self.hint)
        if hint is bool:
            return {"action": argparse.BooleanOptionalAction, "default": argparse.SUPPRESS}
        parts = [one for one in (hint, *get_args(hint)) if get_origin(one) in (tuple, list)]  # `str | tuple[str, ...]`
        many = bool(parts)
        metavar = _metavar(get_args(parts[0])[0] if many else hint)
        return {"default": argparse.SUPPRESS, "metavar": metavar} | ({"nargs": "*"} if many else {})

    def read(self, value: Any) -> Any:
        """Convert the typed value to plain data of the right type."""
        if self.is_group:
            return {} if value else None
        return convert(self.hint, value, f"--{self.name}")


def _flags(cls: type, prefix: str = "", default: Any = MISSING) -> Iterator[_Flag]:
    hints, docs = get_type_hints(cls, include_extras=True), field_docs(cls)
    for name, field in setting_fields(cls).items():
        value = default_of(field) if default in (MISSING, None) else getattr(default, name)
        path, hint = prefix + name, hints[name]
        mark = one_of_in(hint)
        if mark is not None:
            yield from _one_of_flags(mark, prefix, path, docs.get(name, ""), value)
            continue
        inner = _without_none(hint)
        if not is_dataclass(inner):
            if get_origin(inner) not in (dict, Mapping):  # a free table has no fixed names to make flags of
                yield _Flag(path=path, hint=hint, doc=docs.get(name, ""), default=value)
            continue
        if NoneType in get_args(hint):
            yield _Flag(path=path, hint=bool, doc=docs.get(name, ""), default=value is not None, is_group=True)
        yield from _flags(cast(type, inner), f"{path}.", value)


def _one_of_flags(mark: OneOf, prefix: str, path: str, doc: str, value: Any) -> Iterator[_Flag]:
    """The flag of the choice, then a flag for each field of the settings inside; a short key names its field's flag."""
    yield _Flag(path=path, hint=Literal[tuple(mark.starts())], doc=doc, default=mark.word_of(value), is_word=True)
    short = {f"{path}.{one.field}": prefix + one.key for one in mark.short_keys}
    inner: dict[str, list[_Flag]] = {}
    for cls in mark.classes():
        for flag in _flags(cls, f"{path}."):
            inner.setdefault(flag.path, []).append(flag)
    for there, flags in sorted(inner.items(), key=lambda one: one[0] not in short):
        words = ", ".join(mark.words_with(there.rpartition(".")[2]))
        default = flags[0].default if len({repr(flag.default) for flag in flags}) == 1 else f"that of {path}"
        yield replace(flags[0], path=short.get(there, there), doc=f"of {words}: {flags[0].doc}", default=default)


def _without_none(hint: Any) -> Any:
    """`X` for `X | None`; other unions stay as they are."""
    members = [member for member in get_args(hint) if member is not NoneType]
    return members[0] if NoneType in get_args(hint) and len(members) == 1 else hint


def _metavar(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return next((extra.metavar for extra in extras if isinstance(extra, Written)), _metavar(inner))
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "{" + ",".join(str(member.value) for member in hint) + "}"
    return {int: "N", float: "X", str: "TEXT", Path: "PATH"}.get(hint, "VALUE")


def _shown(hint: Any, value: Any) -> str:
    """A default as a user would type it."""
    hint = _without_none(hint)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if get_origin(hint) is Annotated:
        return next((e.show(value) for e in get_args(hint) if isinstance(e, Written)), str(value))
    if isinstance(value, (tuple, list)):
        return " ".join(_shown(Any, item) for item in value) or "none"
    return str(value.value if isinstance(value, Enum) else value)


# ---------------------------------------------------------------- YAML


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader), path)
        value = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name a YAML file of settings") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: holds {type(value).__name__}, not settings; write `name: value` lines")
    return value


def _refuse_repeats(node: yaml.Node | None, path: Path) -> None:
    """YAML loaders keep the last of two equal keys in silence; a setting that is ignored is a lie."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise ConfigError(
                    f"{path}: line {key.start_mark.line + 1} sets {name!r} a second time; keep one of the two"
                )
            seen.add(name)
            _refuse_repeats(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeats(item, path)
