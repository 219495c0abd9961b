"""`lavra.distill`: a smaller student of a finetuned teacher, measured beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lavra.api.find import find_folder
from lavra.base.names import ModelNames
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.runs.distill import DistillResult, distill_folder, prepare
from lavra.runs.distill_settings import DistillRunConfig
from lavra.verbs.destination import destination
from lavra.verbs.finetune import warn_of_data
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown


@takes(DistillRunConfig, without=("data",))
def distill(
    teacher: str | Path,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: DistillRunConfig | None = None,
    **fields: Any,
) -> DistillResult:
    """Train a smaller student on the predictions of a finetuned teacher, and measure both on held-out samples.

    Args:
        teacher: a model that `finetune` made: a folder, a name of the workspace, or an id of the Hugging Face hub.
        data: a file of labelled samples, or a folder of them.
        name: name of the student in the workspace; the teacher's name and `-student` unless given.
        out: folder to write instead of one in the workspace.
        replace: whether a model of that name is replaced, and a stopped run of other settings deleted.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        The student's folder, the scores of both, and the number of parameters of each.

    Raises:
        InputError: the model does not exist, the data has no usable sample, or the folder is taken.
        ConfigError: a setting is unknown, out of range, or does not fit the teacher.

    Example:
        >>> result = lavra.distill("tiny-classifier", "reviews.csv", task="classify", epochs=1, name="small")
        >>> result.folder.name
        'small'
        >>> teacher, student = result.parameters
        >>> student < teacher
        True
    """
    given = fields if data is None else {**fields, "data": data}
    place = Workspace.open(workspace)
    config = with_models_found(read_keywords(DistillRunConfig, settings, given), place)
    source = find_folder(str(teacher), workspace=place, whole=True)
    usual = f"{ModelNames(place).name_of(source)}-student"
    with destination(place, "models", name=name, out=out, replace=replace, default_name=usual) as folder:
        prepared = prepare(config, source)
        warn_of_data(prepared)
        with progress_shown(progress) as shown:
            return distill_folder(prepared, folder, shown, replace_stopped=replace)


def with_models_found(config: DistillRunConfig, workspace: Workspace) -> DistillRunConfig:
    """The settings with the folders of the named models.

    Raises:
        InputError: a word means no model.
    """

    def found(word: Path | None) -> Path | None:
        return None if word is None else find_folder(str(word), workspace=workspace, whole=True)

    return dataclasses.replace(config, student=found(config.student), baseline_from=found(config.baseline_from))
