"""Open the tasks that a user names: by names, patterns, groups, tags and YAML files, with the overrides of their files.

Groups keep their tree: the tasks that count in each group, and the rule that combines them into the group's score.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lavra.base.errors import ConfigError
from lavra.evaluation.task_files.index import TaskIndex, build_index
from lavra.evaluation.task_files.reading import is_group, read_group, read_task
from lavra.evaluation.task_files.shots import SEED
from lavra.evaluation.task_files.task import EvalTask
from lavra.evaluation.task_files.task_file import GroupFile, GroupMetric
from lavra.evaluation.task_files.yaml_file import RawFile, read_yaml


@dataclass(frozen=True, kw_only=True)
class TaskGroup:
    """A group of open tasks.

    Attributes:
        name: name of the group.
        alias: displayed name.
        members: names of its tasks and groups, in order.
        tasks: names of all its tasks, including the tasks of its groups.
        metrics: rules that combine its score; empty if it has no score.
        version: `metadata.version` of its file.
    """

    name: str
    alias: str
    members: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: tuple[GroupMetric, ...] = ()
    version: str = "N/A"


@dataclass(frozen=True, kw_only=True)
class OpenedTasks:
    """The tasks and groups that were opened.

    Attributes:
        tasks: the open tasks, each once, in order.
        groups: the groups, each once, an outer group before the groups inside it.
        warnings: requests that have no effect, one sentence each.
    """

    tasks: tuple[EvalTask, ...]
    groups: tuple[TaskGroup, ...] = ()
    warnings: tuple[str, ...] = ()


def open_tasks(
    names: Sequence[str],
    *,
    folders: Sequence[Path] = (),
    data: Path | None = None,
    num_fewshot: int | None = None,
    seed: int = SEED,
    with_shipped: bool = True,
) -> OpenedTasks:
    """Open tasks by name.

    Args:
        names: names of tasks, groups and tags, patterns with `*`, and YAML files.
        folders: folders of task files, besides lavra's own.
        data: the root that names of data files count from; the current folder if `None`.
        num_fewshot: examples in each prompt, instead of each file's number; a file with the number 0 keeps it.
        seed: fixes the draws of examples.
        with_shipped: whether lavra's own tasks are found.

    Raises:
        ConfigError: a name is unknown, or a file cannot be read.
    """
    opener = _Opener(build_index(folders, with_shipped=with_shipped), data or Path(), num_fewshot, seed)
    for name in names:
        opener.open_name(name)
    return OpenedTasks(
        tasks=tuple(opener.tasks.values()), groups=tuple(opener.groups.values()), warnings=tuple(opener.warnings)
    )


def without_missing(opened: OpenedTasks, names: Sequence[str]) -> OpenedTasks:
    """Leave out tasks whose data files are missing; a warning counts them.

    A task that was named by itself stays, so that asking it is an error.  All tasks stay if none has its data.

    Args:
        opened: the opened tasks and groups.
        names: the names that were asked for.
    """
    named = {*names}
    missing = [
        task.name
        for task in opened.tasks
        if not named.intersection((task.name, str(task.file.path))) and not task.has_data
    ]
    if not missing or len(missing) == len(opened.tasks):
        return opened
    gone = {*missing}
    gone |= {group.name for group in opened.groups if gone.issuperset(group.tasks)}
    warning = (
        f"{len(missing)} of {len(opened.tasks)} tasks are left out, and count in no group, because their data files are"
        f" not there: {', '.join(missing)}"
    )
    return OpenedTasks(
        tasks=tuple(task for task in opened.tasks if task.name not in gone),
        groups=tuple(_without(group, gone) for group in opened.groups if group.name not in gone),
        warnings=(*opened.warnings, warning),
    )


def _without(group: TaskGroup, gone: Container[str]) -> TaskGroup:
    members = tuple(name for name in group.members if name not in gone)
    return replace(group, members=members, tasks=tuple(name for name in group.tasks if name not in gone))


@dataclass(kw_only=False)
class _Opener:
    """The collection of tasks and groups while they are opened."""

    index: TaskIndex
    data: Path
    num_fewshot: int | None
    seed: int
    tasks: dict[str, EvalTask] = field(default_factory=dict)
    groups: dict[str, TaskGroup] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def open_name(self, name: str) -> None:
        if name.endswith((".yaml", ".yml")):
            raw = read_yaml(Path(name))
            self._open_group(read_group(raw), {}) if is_group(raw) else self._open_task(raw)
            return
        for found in self.index.match(name):
            self._open_found(found, {})

    def _open_found(self, name: str, overrides: Mapping[str, Any], place: str = "") -> list[str]:
        """Open the tasks that a name stands for.

        Returns:
            Names of the tasks and groups, without the tasks and groups inside a group.
        """
        if name in self.index.groups:
            return [self._open_group(read_group(self.index.groups[name]), overrides)]
        if name in self.index.tasks:
            return [self._open_task(self._overridden(self.index.tasks[name], overrides, place))]
        members = self.index.tags[name]
        return [self._open_task(self._overridden(self.index.tasks[task], overrides, place)) for task in members]

    def _overridden(self, raw: RawFile, overrides: Mapping[str, Any], place: str) -> RawFile:
        return raw.override(overrides, place) if overrides else raw

    def _open_task(self, raw: RawFile) -> str:
        file = read_task(raw)
        wanted = self.num_fewshot
        if wanted is not None and file.num_fewshot == 0 and wanted:
            self.warnings.append(f"{file.task!r} says num_fewshot: 0 and keeps to it; {wanted} were asked for")
            wanted = None
        task = EvalTask(file, self.data, num_shots=wanted, seed=self.seed)
        known = self.tasks.setdefault(file.task, task)
        if known.task_hash != task.task_hash:
            raise ConfigError(
                f"task {file.task!r} is asked for twice, with different settings; run it in two evaluations"
            )
        return file.task

    def _open_group(self, group: GroupFile, overrides: Mapping[str, Any]) -> str:
        if group.group in self.groups:
            return group.group
        self.groups[group.group] = TaskGroup(name=group.group, alias="", members=(), tasks=())  # keeps its place
        merged = {**group.overrides, **overrides}
        members = [name for member in group.members for name in self._open_member(member, group, merged)]
        tasks = [task for name in members for task in (self.groups[name].tasks if name in self.groups else (name,))]
        self.groups[group.group] = TaskGroup(
            name=group.group,
            alias=group.group_alias or group.group,
            members=tuple(dict.fromkeys(members)),
            tasks=tuple(dict.fromkeys(tasks)),
            metrics=group.metrics,
            version=str(group.metadata.get("version", "N/A")),
        )
        return group.group

    def _open_member(
        self, member: str | Mapping[str, Any], group: GroupFile, overrides: Mapping[str, Any]
    ) -> list[str]:
        place = f"{group.path} (group {group.group!r})"
        if isinstance(member, str):
            if member not in self.index.names:
                self.index.match(member)  # raises the error
            return self._open_found(member, overrides, place)
        own = {key: value for key, value in member.items() if key not in ("task", "group")}
        if "group" in member:
            return [self._open_inner(member, own, group, overrides)]
        merged = {**overrides, **own}
        name = str(member["task"])
        if name in self.index.names:
            return self._open_found(name, merged, place)
        values = {**merged, "task": f"{group.group}::{name}"}
        return [self._open_task(RawFile(path=group.path, values=values, places=dict.fromkeys(values, place)))]

    def _open_inner(
        self, member: Mapping[str, Any], own: Mapping[str, Any], group: GroupFile, overrides: Mapping[str, Any]
    ) -> str:
        name = str(member["group"])
        if name in self.index.groups:
            return self._open_group(read_group(self.index.groups[name]), {**overrides, **own})
        values = {**member, "group": f"{group.group}::{name}"}
        return self._open_group(read_group(RawFile(path=group.path, values=values)), overrides)
