"""Models with a task's head as Hugging Face folders, for `AutoModelForSequenceClassification` and its kin.

The contents of such a folder are defined in `task_files`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from lavra.model.build import new_model
from lavra.model.checkpoint import DTYPES, check_shapes, dtype_name, fill, joined
from lavra.model.config_files import check_expressible, write_config
from lavra.model.families.table import family
from lavra.model.heads import TaskModel, strip
from lavra.model.task_files import HEAD_FIELD, open_task_files, task_table
from lavra.model.tensor_writing import write_tensors

_SHARD: Final = 5_000_000_000


def load_task_model(
    folder: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> TaskModel:
    """Open a model with a task's head, in evaluation mode.

    Args:
        folder: written by `transformers` (`…ForSequenceClassification` and its kin) or lavra.
        dtype: type of the weights; by default the type that the folder was saved in.
        device: device of the weights.

    Raises:
        CheckpointError: as `load_checkpoint`, or the folder has no head of a task.
    """
    folder = Path(folder)
    found = open_task_files(folder)
    with torch.device("meta"):
        backbone = new_model(found.config)
        strip(backbone, found.form)
        model = TaskModel(backbone, found.task)
    check_shapes(found.table, model, found.checkpoint, folder)
    fill(model, found.table, found.checkpoint, dtype or DTYPES[found.config.dtype], torch.device(device))
    return model.eval()


def save_task_model(model: TaskModel, folder: Path | str) -> None:
    """Save a model with a task's head as a folder that `transformers` opens; other files in the folder stay.

    Raises:
        ConfigError: the family's `config.json` has no field for a setting of the model.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_expressible(family(model.config.family), model.config)
    parameters = dict(model.named_parameters())
    tensors = {one.theirs: joined(one, parameters) for one in task_table(model.config, model.form)}
    write_tensors(folder, tensors, max_shard_bytes=_SHARD)
    dtype = dtype_name(next(model.backbone.parameters()).dtype)
    write_config(replace(model.config, dtype=dtype), folder, task_fields(model))


def task_fields(model: TaskModel) -> dict[str, Any]:
    """The fields of `config.json` for the head."""
    labels, task = model.task.labels, model.task
    fields: dict[str, Any] = {
        "architectures": [model.form.architecture],
        "finetuning_task": task.task,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": None if task.problem is None else task.problem.value,
    }
    if task.named_head is not None:
        fields[HEAD_FIELD] = task.named_head
    if task.dropout is not None or model.form.dropout:
        fields["classifier_dropout"] = model.head.dropout
    return fields
