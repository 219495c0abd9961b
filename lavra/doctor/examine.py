"""`lavra doctor`: find a run's problems before hours are spent on it.

For `lavra up` it examines the machine, makes (or reuses) the corpus, tokenizer and plan, and estimates memory and
time; then small versions of the run's own model are tested for the guarantees of training.  For `lavra finetune` it
tests the model and the data themselves.  `lavra.doctor.checks` has the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lavra.base.checks import Check
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.doctor.checks import CheckSubject, checks_of
from lavra.doctor.machine import Machine
from lavra.doctor.pretraining import PretrainingRun
from lavra.pipeline.fit import DoesNotFitError
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.stages.instructions import instructions_stage
from lavra.pipeline.stages.planning import plan_stage
from lavra.pipeline.stages.prepare import prepare_stages
from lavra.pipeline.worker_group import WorkerGroup
from lavra.runs.finetune import prepare
from lavra.tasks.learning.settings import FinetuneConfig


def examine_finetuning(config: FinetuneConfig, base: Path, workspace: Path) -> Iterator[Check]:
    """Run every check for a run of `lavra finetune` with these settings, and yield its result; nothing is kept.

    Args:
        config: settings of the run.
        base: folder of the model that the run starts from.
        workspace: folder on the disk of the result.

    Raises:
        InputError: the data has no usable sample.
        ConfigError: the settings do not fit the model.
    """
    yield from checks_of(CheckSubject.MACHINE, Machine(workspace=workspace, compiles=config.compile != "off"))
    yield from checks_of(CheckSubject.FINETUNING, prepare(config, base))


def examine(config: UpConfig, workspace: Workspace, progress: Progress) -> Iterator[Check]:
    """Run every check for a run of `lavra up` with these settings, and yield its result."""
    yield from checks_of(CheckSubject.MACHINE, Machine(workspace=workspace.path, compiles=config.compile != "off"))
    stages = [
        *prepare_stages(config, progress),
        instructions_stage(config, progress),
        plan_stage(config, progress, WorkerGroup()),
    ]
    try:
        folders = {result.stage: result.folder for result in run_stages(stages, workspace)}
    except DoesNotFitError as refusal:  # the run is impossible, so other checks mean nothing
        yield refusal.check
        return
    yield from checks_of(CheckSubject.PRETRAINING, PretrainingRun.of(config, folders))
