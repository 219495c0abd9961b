"""The parts of a folder of a model with a task's head: task, backbone's configuration, names of its tensors.

The backbone's tensors have the names of the family's own table, under the prefix of the task's class; the head's names
are the family's.  Labels, problem and task are in `config.json`, in the fields that `transformers` reads.

No torch: both runners open folders with this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.base.tasks import HeadKind, Problem
from lavra.model.config import Kind, ModelConfig
from lavra.model.config_files import check_names, family_of, read_config, read_config_file
from lavra.model.families.family import Family
from lavra.model.families.head_forms import HeadForm, HeadInput
from lavra.model.families.table import family, family_names, head_form
from lavra.model.task_config import HEADS, TaskConfig
from lavra.model.tensor_names import Checkpoint, named, resolve_copies
from lavra.model.tensors import open_tensors
from lavra.model.weights import WeightTable, both, rule

BACKBONE: Final = "backbone."
"""Prefix of the names of the backbone's tensors, in our names."""

HEAD_FIELD: Final = "finetuning_head"
"""Kind of the head in config.json, if the task's name does not determine it."""


def task_in(folder: Path | str) -> TaskConfig | None:
    """The task of a model folder's head, or None for a language model or an encoder."""
    folder = Path(folder)
    return _read_task(read_config_file(folder), folder)


@dataclass(frozen=True, kw_only=True)
class TaskFiles:
    """A folder of a model with a task's head, before any weights are read.

    Attributes:
        task: configuration of the head.
        form: the family's form of the head.
        config: configuration of the backbone.
        checkpoint: the tensors.
        table: the checkpoint's names and our names of the tensors.
    """

    task: TaskConfig
    form: HeadForm
    config: ModelConfig
    checkpoint: Checkpoint
    table: WeightTable


def open_task_files(folder: Path) -> TaskFiles:
    """Open a folder of a model with a task's head; no weights are read yet.

    Raises:
        CheckpointError: the folder is damaged or incomplete, or has no head of a task.
    """
    raw = read_config_file(folder)
    task = _read_task(raw, folder)
    if task is None:
        raise CheckpointError(f"{folder} has no head of a task; open it as a language model, or finetune it first")
    form = head_form(raw["model_type"], task.head)
    source = _body(raw, form, folder)
    checkpoint = named(source, open_tensors(folder))
    config = _without_head(read_config(source, raw, folder, checkpoint))
    config, checkpoint = resolve_copies(source, config, checkpoint)
    if form.reads is HeadInput.POOLED and not config.has_pooler:
        raise CheckpointError(f"{folder} lacks the pooler its head reads; save the model again")
    config = _without_pooler(config, form)
    table = task_table(config, form)
    check_names(table, checkpoint, folder)
    return TaskFiles(task=task, form=form, config=config, checkpoint=checkpoint, table=table)


def _without_pooler(config: ModelConfig, form: HeadForm) -> ModelConfig:
    """An encoder's configuration without a pooler that its head does not read."""
    unread = config.kind is Kind.ENCODER and form.reads is not HeadInput.POOLED
    return replace(config, has_pooler=False) if unread else config


def task_table(config: ModelConfig, form: HeadForm) -> WeightTable:
    """The table between `transformers`' tensors of a model with a task's head and ours.

    Ours are `backbone.` and the name of the model's own, `head.dense` and `head.output`.

    Args:
        config: configuration of the backbone.
        form: form of the head.
    """
    source = family(config.family)
    base = [one for one in source.table(config) if not one.ours[0].startswith("head.")]
    if form.encoder_only:
        base = [one for one in base if not one.ours[0].startswith("decoder.")]
    moved = [
        rule(
            form.prefix + one.theirs.removeprefix(source.prefix),
            *(f"{BACKBONE}{name}" for name in one.ours),
            form=one.form,
        )
        for one in base
    ]
    dense = both(form.dense, "head.dense") if form.dense else []
    return [*moved, *dense, *both(form.output, "head.output", biased=form.bias)]


def _body(raw: Mapping[str, Any], form: HeadForm, folder: Path) -> Family:
    """The family of a folder, with the names of the task's class."""
    source = family_of({**raw, "architectures": []}, folder)

    def moved(name: str) -> str:
        return form.prefix + name.removeprefix(source.prefix)

    old, new = re.escape(source.prefix), re.escape(form.prefix)
    return replace(
        source,
        prefix=form.prefix,
        headless=tuple(name for name in (form.output, form.dense) if name),
        tied=("", ""),
        copies={moved(copy): moved(original) for copy, original in source.copies.items()},
        ignored=tuple(pattern.replace(f"^{old}", f"^{new}") for pattern in source.ignored),
    )


def _without_head(config: ModelConfig) -> ModelConfig:
    """An encoder without its masked-token head; other models lack a head without a field of `config.json` for it."""
    if config.kind is not Kind.ENCODER:
        return config
    return replace(config, has_head=False, head_bias=False, head_transform=False)


def _read_task(raw: Mapping[str, Any], folder: Path) -> TaskConfig | None:
    model_type, architectures = raw.get("model_type"), raw.get("architectures") or [""]
    kinds = family(model_type).head_kinds(architectures[0]) if model_type in family_names() else []
    if not kinds:
        return None
    word, head = _task_and_head(raw, kinds)
    stated = raw.get("problem_type")
    if stated is not None and stated not in {one.value for one in Problem}:
        known = ", ".join(one.value for one in Problem)
        raise CheckpointError(f"{folder / 'config.json'}: problem_type is {stated!r}; known: {known}")
    problem = None if stated is None else Problem(stated)
    labels = _labels(raw)
    if head is HeadKind.SEQUENCE and problem is None:  # as transformers takes it
        problem = Problem.REGRESSION if len(labels) == 1 else Problem.SINGLE_LABEL
    made = TaskConfig.of(head, labels, problem, task=word)
    own = labels if head in (HeadKind.SEQUENCE, HeadKind.TOKEN) else made.labels
    return replace(made, labels=own, dropout=raw.get("classifier_dropout"))


def _task_and_head(raw: Mapping[str, Any], kinds: Sequence[HeadKind]) -> tuple[str | None, HeadKind]:
    """The name of the task, None for the usual name of the head's kind; and the matching kind of head.

    Folders by other programs have names of their own (`mnli`), which do not determine the head.
    """
    word, named = raw.get("finetuning_task"), raw.get(HEAD_FIELD)
    found = next((kind for kind in kinds if kind.value == named or kind is HEADS.get(str(word))), None)
    return (None, kinds[0]) if found is None else (str(word), found)


def _labels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels in the order of `id2label`; `LABEL_0`, `LABEL_1` if a folder has only their number."""
    names = raw.get("id2label")
    if names:
        return tuple(str(names[index]) for index in sorted(names, key=int))
    return tuple(f"LABEL_{index}" for index in range(int(raw.get("num_labels", 2))))
