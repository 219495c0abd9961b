"""`lavra.up` and `lavra.pretrain`: train a model on a folder of text, measure it and write a report.

Both run the same stages; `up` is the word for a first model, `pretrain` for one of a family that is chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lavra.base.errors import ConfigError
from lavra.base.events import emit
from lavra.base.names import ModelNames, check_name, kind_of
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.pipeline.index_encoders import Encoders
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.up import UpResult, run_up
from lavra.pipeline.worker_group import WorkerGroup
from lavra.train.config import Parallel
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown, stages_shown
from lavra.verbs.retrieval import MINILM_PACKAGE, open_embedder, packaged_folder


@takes(UpConfig, without=("text",))
def up(
    text: str | Path | None = None,
    *,
    name: str | None = None,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    allow_drift: bool = False,
    settings: UpConfig | None = None,
    **fields: Any,
) -> UpResult:
    """Train a model on text, from reading to a report: corpus, tokenizer, model, scores, adapter, index.

    Stages with unchanged inputs are reused; a stopped run goes on where it was.

    Args:
        text: a file or folder in any format that lavra reads; the Python standard library of this machine unless given.
        name: name of the model in the workspace; its adapter is called NAME-taught.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        allow_drift: resume although torch, instruction set or threads changed.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        The folders of the model, its adapter and the index of its documents, the report's file, and a verdict.

    Raises:
        InputError: the text does not exist, or is too short.
        ConfigError: a setting is unknown or out of range.

    Example:
        >>> result = lavra.up("texts", budget="10s", hidden_size=64, num_layers=1, name="first")  # slow: 40 s
        >>> lavra.load("first").generate("The", max_tokens=8).usage.completion_tokens
        8
    """
    given = fields if text is None else {**fields, "text": text}
    config = read_keywords(UpConfig, settings, given)
    if config.parallel is not Parallel.NONE:
        raise ConfigError(
            f"parallel is {config.parallel.value}, which needs a launcher; run `torchrun --nproc-per-node N -m lavra "
            "up` instead"
        )
    with progress_shown(progress) as shown:
        return run_named(config, Workspace.open(workspace), name, shown, allow_drift=allow_drift, shows=bool(progress))


@takes(UpConfig, without=("text",))
def pretrain(
    text: str | Path | None = None,
    *,
    name: str | None = None,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    allow_drift: bool = False,
    settings: UpConfig | None = None,
    **fields: Any,
) -> UpResult:
    """Train a model of a chosen family from scratch: next token, masked token (BERT) or span corruption (T5).

    The stages are those of `up`, which has the same arguments; corpus, tokenizer and tokens are shared with it.

    Example:
        >>> result = lavra.pretrain("texts", family="bert", budget="10s", hidden_size=64, num_layers=1)  # slow: 30 s
        >>> lavra.load(result.model).num_parameters > 100_000
        True
    """
    return up(
        text,
        name=name,
        workspace=workspace,
        progress=progress,
        allow_drift=allow_drift,
        settings=settings,
        **fields,
    )


def run_named(
    config: UpConfig,
    workspace: Workspace,
    name: str | None,
    progress: Progress,
    *,
    workers: WorkerGroup | None = None,
    allow_drift: bool = False,
    shows: bool = True,
) -> UpResult:
    """Run every stage, and name the results.

    Args:
        config: the settings.
        workspace: workspace of all results.
        name: name of the model; None gives no name.
        progress: called with the progress.
        workers: other processes that train along.
        allow_drift: resume although the machine changed.
        shows: whether a line is written for each stage.

    Raises:
        LavraError: a stage refuses; results of earlier stages are kept.
    """
    if name is not None:
        check_name(name)  # before hours are spent
    with stages_shown(shows=shows):
        result = run_up(config, workspace, progress, workers, allow_drift=allow_drift, encoders=_encoders())
    if name is not None:
        give_names(name, result, workspace)
    return result


def _encoders() -> Encoders:
    """MiniLM beside the trained encoder, if it is installed."""
    packaged = packaged_folder(MINILM_PACKAGE)
    return Encoders(open=open_embedder, others=() if packaged is None else (str(packaged),))


def give_names(name: str, result: UpResult, workspace: Workspace) -> None:
    """Name the model NAME, and the further results NAME-taught, NAME-encoder and NAME-compress.

    Args:
        name: name of the model.
        result: results of the run.
        workspace: workspace that keeps the names; a name that another model had is reported in an event `note`.
    """
    names = ModelNames(workspace)
    made = {name: result.model}
    if result.adapter is not None:
        made[f"{name}-taught"] = result.adapter
    beside = (stage for stage in result.stages if stage.stage in ("encoder", "compress"))
    made.update({f"{name}-{stage.stage}": stage.folder for stage in beside if kind_of(stage.folder) is not None})
    for given, folder in made.items():
        before = names.give(given, folder)
        if before is not None:
            emit("note", text=f"{given} was {before}, and is {folder.name} now")
