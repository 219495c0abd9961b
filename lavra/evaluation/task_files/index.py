"""An index of tasks, groups and tags by name, from folders of task files and from the tasks that lavra ships.

A folder of the user wins over a shipped task of the same name, as in lm-evaluation-harness; within a folder a name
stands once.  A file that cannot be read is kept with the reason, which is reported when its name is asked for.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lavra.base.errors import ConfigError, nearest
from lavra.evaluation.task_files.functions.table import BENCHMARKS
from lavra.evaluation.task_files.reading import is_group
from lavra.evaluation.task_files.yaml_file import RawFile, read_yaml

_IGNORED = frozenset(("__pycache__", ".ipynb_checkpoints"))


@dataclass(frozen=True, kw_only=True)
class TaskIndex:
    """The tasks, groups and tags that can be opened by name.

    Attributes:
        tasks: file of each task.
        groups: file of each group.
        tags: names of the tasks of each tag, in order.
        broken: the reason why a file could not be read, by file.
    """

    tasks: Mapping[str, RawFile] = field(default_factory=dict)
    groups: Mapping[str, RawFile] = field(default_factory=dict)
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    broken: Mapping[Path, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of all tasks, groups and tags, in order."""
        return sorted({*self.tasks, *self.groups, *self.tags})

    def match(self, pattern: str) -> list[str]:
        """The names that a pattern stands for: itself, or with `*` all names that match.

        Raises:
            ConfigError: no name matches; the error gives the nearest name.
        """
        if pattern in self.tasks or pattern in self.groups or pattern in self.tags:
            return [pattern]
        found = fnmatch.filter(self.names, pattern)
        if not found:
            raise ConfigError(f"there is no task, group or tag {pattern!r}{self._hint(pattern)}")
        return found

    def _hint(self, name: str) -> str:
        broken = [f"{file.name}: {reason}" for file, reason in self.broken.items() if file.stem == name]
        if broken:
            return f"; its file cannot be read: {broken[0]}"
        return nearest(name, self.names) if self.names else "; no folder of task files was given (--include-path)"


def build_index(folders: Sequence[Path] = (), *, with_shipped: bool = True) -> TaskIndex:
    """Build the index of folders; later folders win over earlier folders, and all folders over shipped tasks.

    Args:
        folders: folders of task files.
        with_shipped: whether the index has lavra's own tasks.

    Raises:
        ConfigError: a folder does not exist, or a name stands twice in a folder.
    """
    roots = [*([BENCHMARKS] if with_shipped else []), *folders]
    tasks: dict[str, RawFile] = {}
    groups: dict[str, RawFile] = {}
    broken: dict[Path, str] = {}
    for root in roots:
        found = _read_folder(root)
        tasks = {name: raw for name, raw in tasks.items() if name not in found.groups} | dict(found.tasks)
        groups = {name: raw for name, raw in groups.items() if name not in found.tasks} | dict(found.groups)
        broken |= found.broken
    return TaskIndex(tasks=tasks, groups=groups, tags=_tags(tasks), broken=broken)


def _read_folder(root: Path) -> TaskIndex:
    if not root.is_dir():
        raise ConfigError(f"{root} is not a folder; give a folder of task files (YAML)")
    tasks: dict[str, RawFile] = {}
    groups: dict[str, RawFile] = {}
    broken: dict[Path, str] = {}
    for path in _yaml_files(root):
        try:
            raw = read_yaml(path)
        except ConfigError as error:
            broken[path] = str(error)
            continue
        key, kinds = ("group", groups) if is_group(raw) else ("task", tasks)
        if isinstance(raw.values.get(key), str):  # a template that other files include has no name
            _add(kinds, raw, key, {**tasks, **groups})
    return TaskIndex(tasks=tasks, groups=groups, broken=broken)


def _add(kinds: dict[str, RawFile], raw: RawFile, key: str, known: Mapping[str, RawFile]) -> None:
    kinds.setdefault(raw.values[key], known.get(raw.values[key], raw))


def _yaml_files(root: Path) -> Iterable[Path]:
    found = (path for path in root.glob("**/*.yaml") if not _IGNORED.intersection(path.parts))
    return sorted(found, key=lambda path: path.as_posix())


def _tags(tasks: Mapping[str, RawFile]) -> dict[str, tuple[str, ...]]:
    tags: dict[str, list[str]] = {}
    for name, raw in tasks.items():
        given = raw.values.get("tag") or ()
        for tag in [given] if isinstance(given, str) else given:
            tags.setdefault(str(tag), []).append(name)
    return {tag: tuple(sorted(names)) for tag, names in tags.items() if tag not in tasks}
