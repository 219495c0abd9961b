"""All tasks, by name; each spec's module is imported when it is first used.

A task of one's own is added with `add_task`, and is then finetuned, predicted and served like any other.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Final

from lavra.base.convert import Written
from lavra.base.errors import ConfigError, nearest
from lavra.base.tasks import HeadKind
from lavra.tasks.spec import HeadSpec, TaskSpec

_TABLE: Final[dict[str, str | TaskSpec]] = {
    "classify": "lavra.tasks.classify:CLASSIFY",
    "tag": "lavra.tasks.tag:TAG",
    "answer": "lavra.tasks.answer:ANSWER",
    "choose": "lavra.tasks.choose:CHOOSE",
    "rerank": "lavra.tasks.rerank:RERANK",
    "embed": "lavra.tasks.embed:EMBED",
    "chat": "lavra.tasks.chat:CHAT",
    "rewrite": "lavra.tasks.rewrite:REWRITE",
}


def all_tasks() -> tuple[TaskSpec, ...]:
    """Every spec, in the order of the table."""
    return tuple(map(_spec, tuple(_TABLE)))


def add_task(spec: TaskSpec) -> None:
    """Add a task for the length of the process.

    Raises:
        ConfigError: another task has one of its words, or its endpoint.
    """
    for other in all_tasks():
        if other is spec:
            continue
        both = sorted(set(spec.words) & set(other.words))
        if both:
            raise ConfigError(f"task {spec.name!r} is called {both[0]!r}, as {other.name!r} is; choose another word")
        if spec.asking is not None and other.asking is not None and spec.asking.path == other.asking.path:
            raise ConfigError(
                f"task {spec.name!r} is asked at {spec.asking.path}, as {other.name!r} is; choose another"
            )
    _TABLE[spec.name] = spec


def task_named(word: str) -> TaskSpec:
    """The task of a name, or of an older word for it.

    Raises:
        ConfigError: no task has the name.
    """
    for spec in all_tasks():
        if word in spec.words:
            return spec
    raise ConfigError(f"unknown task {word!r}{nearest(word, [spec.name for spec in all_tasks()])}")


def task_of_head(word: str, head: HeadKind) -> TaskSpec:
    """The task a model folder's head is for.

    Args:
        word: the task as the folder calls it.
        head: the kind it has; where the word is unknown here, the kind's usual task is meant.
    """
    fitting = [spec for spec in headed_tasks() if spec.head is not None and spec.head.kind is head]
    return next((spec for spec in fitting if word in spec.words), fitting[0])


def task_of_request(request: object) -> TaskSpec | None:
    """The task that a request of this type asks for, or None where no task has such requests."""
    fitting = (spec for spec in asked_tasks() if spec.asking is not None and spec.asking.request is type(request))
    return next(fitting, None)


def headed_tasks() -> tuple[TaskSpec, ...]:
    """The tasks with a head."""
    return tuple(spec for spec in all_tasks() if spec.head is not None)


def head_of(spec: TaskSpec) -> HeadSpec:
    """The head of a task.

    Raises:
        ConfigError: the task has no head.
    """
    if spec.head is None:
        known = ", ".join(one.name for one in headed_tasks())
        raise ConfigError(f"task {spec.name!r} has no head of its own; those that have: {known}")
    return spec.head


def asked_tasks() -> tuple[TaskSpec, ...]:
    """The tasks that a `Predictor` answers."""
    return tuple(spec for spec in all_tasks() if spec.asking is not None)


def _spec(name: str) -> TaskSpec:
    entry = _TABLE[name]
    if isinstance(entry, TaskSpec):
        return entry
    module, _, attribute = entry.partition(":")
    spec: TaskSpec = getattr(importlib.import_module(module), attribute)
    _TABLE[name] = spec
    return spec


Task = Annotated[
    TaskSpec,
    Written(
        "{" + ",".join(_TABLE) + "}",
        task_named,
        lambda spec: spec.name,
        lambda spec: spec.saved_as,
    ),
]
"""A task as a setting: written by its name, kept in cards by the word they have always had."""
