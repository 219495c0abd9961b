"""Models with a task's head as Hugging Face folders: what `AutoModelForSequenceClassification` and its kin open.

The backbone's tensors go by the family's own table, under the prefix the class of the task uses; the head's names
are the family's.  Labels, problem and task stand in `config.json`, in the fields `transformers` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from lavra.base.errors import CheckpointError
from lavra.base.tasks import HeadKind, Problem
from lavra.model.build import new_model
from lavra.model.checkpoint import DTYPES, check_shapes, dtype_name, fill, joined
from lavra.model.config import Kind, ModelConfig
from lavra.model.config_files import (
    check_expressible,
    check_names,
    family_of,
    read_config,
    read_config_file,
    write_config,
)
from lavra.model.families import family, family_names, head_form
from lavra.model.families.family import Family
from lavra.model.families.head_forms import HeadForm, Reads
from lavra.model.heads import HEADS, TaskConfig, TaskModel, strip
from lavra.model.tensor_names import named, resolve_copies
from lavra.model.tensor_writing import write_tensors
from lavra.model.tensors import open_tensors
from lavra.model.weights import WeightTable, both, rule

_SHARD = 5_000_000_000
_HEAD: Final = "finetuning_head"  # kind of the head in config.json, where the word for the task does not say it


def task_in(folder: Path | str) -> TaskConfig | None:
    """What the head of a model folder is for, or None where it is a language model or an encoder."""
    folder = Path(folder)
    return _read_task(read_config_file(folder), folder)


def load_task_model(
    folder: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> TaskModel:
    """Open a model with a task's head, in evaluation mode.

    Args:
        folder: written by `transformers` (`…ForSequenceClassification` and its kin) or lavra.
        dtype: of the weights; by default what the folder was saved in.
        device: where the weights go.

    Raises:
        CheckpointError: as `load_checkpoint`, or the folder has no head of a task.
    """
    folder = Path(folder)
    raw = read_config_file(folder)
    task = _read_task(raw, folder)
    if task is None:
        raise CheckpointError(f"{folder} has no head of a task; open it as a language model, or finetune it first")
    form = head_form(raw["model_type"], task.head)
    source = _body(raw, form, folder)
    checkpoint = named(source, open_tensors(folder))
    config = _without_head(read_config(source, raw, folder, checkpoint))
    config, checkpoint = resolve_copies(source, config, checkpoint)
    if form.reads is Reads.POOLED and not config.has_pooler:
        raise CheckpointError(f"{folder} lacks the pooler its head reads; save the model again")
    with torch.device("meta"):
        backbone = new_model(config)
        strip(backbone, form)
        model = TaskModel(backbone, task)
    table = task_table(model)
    check_names(table, checkpoint, folder)
    check_shapes(table, model, checkpoint, folder)
    fill(model, table, checkpoint, dtype or DTYPES[config.dtype], torch.device(device))
    return model.eval()


def save_task_model(model: TaskModel, folder: Path | str) -> None:
    """Save a model with a task's head as a folder that `transformers` opens; other files in the folder stay.

    Raises:
        ConfigError: the family's `config.json` has no way to say what the model is.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_expressible(family(model.config.family), model.config)
    parameters = dict(model.named_parameters())
    tensors = {one.theirs: joined(one, parameters) for one in task_table(model)}
    write_tensors(folder, tensors, max_shard_bytes=_SHARD)
    dtype = dtype_name(next(model.backbone.parameters()).dtype)
    write_config(replace(model.config, dtype=dtype), folder, task_fields(model))


def task_fields(model: TaskModel) -> dict[str, Any]:
    """What `config.json` says of the head."""
    labels, task = model.task.labels, model.task
    fields: dict[str, Any] = {
        "architectures": [model.form.architecture],
        "finetuning_task": task.task,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": None if task.problem is None else task.problem.value,
    }
    if task.named_head is not None:
        fields[_HEAD] = task.named_head
    if task.dropout is not None or model.form.dropout:
        fields["classifier_dropout"] = model.head.dropout
    return fields


def task_table(model: TaskModel) -> WeightTable:
    """The table between `transformers`' tensors of this model and ours."""
    source, form = family(model.config.family), model.form
    base = [one for one in source.table(model.config) if not one.ours[0].startswith("head.")]
    if form.encoder_only:
        base = [one for one in base if not one.ours[0].startswith("decoder.")]
    moved = [
        rule(
            form.prefix + one.theirs.removeprefix(source.prefix),
            *(f"backbone.{name}" for name in one.ours),
            form=one.form,
        )
        for one in base
    ]
    dense = both(form.dense, "head.dense") if form.dense else []
    return [*moved, *dense, *both(form.output, "head.output", biased=form.bias)]


def _body(raw: Mapping[str, Any], form: HeadForm, folder: Path) -> Family:
    """The family of a folder, its names as the class of the task has them."""
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
    """An encoder without its masked-token head; of others `config.json` cannot say it, and the model just has none."""
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
    """The word for the task, None for the usual one of the head, and which of the kinds that fit the head is.

    Folders of other makers have words of their own (`mnli`), which say nothing of the head.
    """
    word, named = raw.get("finetuning_task"), raw.get(_HEAD)
    found = next((kind for kind in kinds if kind.value == named or kind is HEADS.get(str(word))), None)
    return (None, kinds[0]) if found is None else (str(word), found)


def _labels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """As `id2label` orders them; `LABEL_0`, `LABEL_1` where a folder gives a number only."""
    names = raw.get("id2label")
    if names:
        return tuple(str(names[index]) for index in sorted(names, key=int))
    return tuple(f"LABEL_{index}" for index in range(int(raw.get("num_labels", 2))))
