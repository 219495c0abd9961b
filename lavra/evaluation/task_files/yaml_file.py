"""A YAML file of lm-evaluation-harness as plain data, with the line of each key.

`include` is resolved here, and `!function module.name` becomes a `FunctionReference`: a name and a place.  The loader
is YAML's safe loader with this single tag added, so that reading a file runs no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lavra.base.errors import ConfigError

_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times as fast


@dataclass(frozen=True, kw_only=True)
class FunctionReference:
    """A function that a task file names with `!function`.

    Attributes:
        name: name in the file (`utils.process_docs`).
        path: the YAML file.
        line: line of that file, from 1.
    """

    name: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"!function {self.name}"


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """The content of a file, with its includes merged in.

    Attributes:
        path: the file.
        values: values by key; keys of the file win over keys of the files that it includes.
        places: file and line of each key, for errors.
        warnings: keys that stand twice, one sentence each.
    """

    path: Path
    values: Mapping[str, Any]
    places: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def place(self, key: str) -> str:
        """The `file:line` of a key, or the file if the key came from elsewhere."""
        return self.places.get(key, str(self.path))

    def override(self, values: Mapping[str, Any], place: str) -> RawFile:
        """Replace some keys of the file, as an entry of a group's task list does."""
        places = {**self.places, **dict.fromkeys(values, place)}
        return replace(self, values={**self.values, **values}, places=places)


def read_yaml(path: Path) -> RawFile:
    """Read a file and the files that it includes.

    Raises:
        ConfigError: the file is missing, is not YAML, is not a mapping, or its includes form a circle.
    """
    return _read(path, ())


def _read(path: Path, within: tuple[Path, ...]) -> RawFile:
    path = path.expanduser()
    if path.resolve() in within:
        raise ConfigError(f"{path} includes itself by way of {within[-1]}; take one `include` out")
    own = _read_one(path.resolve(), str(path))
    values, places = dict(own.values), dict(own.places)
    includes = values.pop("include", ())
    merged: dict[str, Any] = {}
    merged_places: dict[str, str] = {}
    warnings = own.warnings
    for include in [includes] if isinstance(includes, str) else includes:
        included = _read(_included(path, include, own), (*within, path.resolve()))
        merged |= {key: value for key, value in included.values.items() if key != "task_list"}
        merged_places |= included.places
        warnings = (*warnings, *included.warnings)
    return RawFile(path=path, values={**merged, **values}, places={**merged_places, **places}, warnings=warnings)


def _included(path: Path, include: object, own: RawFile) -> Path:
    if not isinstance(include, str):
        raise ConfigError(f"{own.place('include')}: `include` is {include!r}; give the name of a YAML file")
    target = path.parent / include
    if not target.is_file():
        raise ConfigError(f"{own.place('include')}: includes {include!r}, and {target} is not a file")
    return target


def _read_one(path: Path, shown: str) -> RawFile:
    try:
        return _parsed(path, shown, path.stat().st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}; check the path") from error


@lru_cache(maxsize=4096)  # thousands of task files include the same template
def _parsed(path: Path, shown: str, changed: int) -> RawFile:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    loader = _loader(shown)(text)
    try:
        node = loader.get_single_node()
        warnings = _repeated_keys(node, shown)
        places = _places(node, shown)
        return RawFile(path=path, values=loader.construct_document(node), places=places, warnings=warnings)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{_place(shown, error.problem_mark)}: is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown}: is not valid YAML: {error}") from error
    finally:
        loader.dispose()


def _loader(shown: str) -> type[Any]:
    class Loader(_SafeLoader):  # type: ignore[misc]
        """The safe loader, extended by `!function`."""

    def reference(loader: Any, node: Any) -> FunctionReference:
        name = str(loader.construct_scalar(node))
        return FunctionReference(name=name, path=Path(shown), line=node.start_mark.line + 1)

    Loader.add_constructor("!function", reference)
    return Loader


def _repeated_keys(node: Any, shown: str) -> tuple[str, ...]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{shown} does not hold `key: value` lines; a task file begins with `task: NAME`")
    seen: dict[str, int] = {}
    warnings: list[str] = []
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:  # lm-evaluation-harness silently takes the last value
            warnings.append(f"{shown}:{line}: repeats the key {key.value!r} of line {seen[key.value]}; this one counts")
        seen[str(key.value)] = line
    return tuple(warnings)


def _places(node: Any, shown: str) -> dict[str, str]:
    return {str(key.value): _place(shown, key.start_mark) for key, _ in node.value}


def _place(shown: str, mark: Any) -> str:
    return shown if mark is None else f"{shown}:{mark.line + 1}"
