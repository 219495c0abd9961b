"""`lavra.finetune`: a model that does a task, from labelled data, measured before and after."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lavra.api.find import find_folder
from lavra.base.names import ModelNames
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.runs.finetune import FinetuneResult, prepare
from lavra.runs.finetune import finetune as carry_out
from lavra.runs.prepared import PreparedRun
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.verbs.destination import destination
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown

logger = logging.getLogger(__name__)


@takes(FinetuneConfig, without=("data",))
def finetune(
    model: str | Path,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: FinetuneConfig | None = None,
    **fields: Any,
) -> FinetuneResult:
    """Train a model for a task on labelled data, and measure it before and after on held-out samples.

    Args:
        model: model to start from: a folder, a GGUF file, a name of the workspace, or an id of the Hugging Face hub.
        data: a file of labelled samples (jsonl, json, csv, tsv, parquet, CoNLL), or a folder of them.
        name: name of the new model in the workspace; the model's name and the task unless given.
        out: folder to write instead of one in the workspace.
        replace: whether a model of that name is replaced, and a stopped run of other settings deleted.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        The folder of the model (or adapter), its scores before and after, and the results of training.

    Raises:
        InputError: the data has no usable sample, the model does not exist, or the folder is taken.
        ConfigError: a setting is unknown, out of range, or does not fit the model.
        TrainingError: the loss is not finite or exploded.

    Example:
        >>> result = lavra.finetune("tiny-bert", "reviews.csv", task="classify", epochs=1, name="reviews")
        >>> result.folder.name
        'reviews'
        >>> sorted(result.after.values)[0]
        'accuracy'
    """
    given = fields if data is None else {**fields, "data": data}
    config = read_keywords(FinetuneConfig, settings, given)
    place = Workspace.open(workspace)
    base = find_folder(str(model), workspace=place, whole=True)
    usual = f"{ModelNames(place).name_of(base)}-{config.task.saved_as}"
    with destination(place, "models", name=name, out=out, replace=replace, default_name=usual) as folder:
        prepared = prepare(config, base)
        warn_of_data(prepared)
        with progress_shown(progress) as shown:
            return carry_out(prepared, folder, shown, replace_stopped=replace)


def warn_of_data(prepared: PreparedRun[Any]) -> None:
    """Log the problems of the data, and the settings chosen for the user."""
    for report in prepared.reports():
        if report.groups:
            logger.warning("%s", "\n".join(report.lines()))
    for note in prepared.notes:
        logger.warning("%s", note)
