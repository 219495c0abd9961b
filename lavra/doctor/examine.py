"""`lavra doctor`: what could go wrong with a run, found before hours are spent on it.

Of `lavra up` the machine is looked at, the corpus, tokenizer and plan are made (or reused), memory and time are
estimated, and small versions of the run's own model are put through the promises training makes.  Of `lavra finetune`
the model and the data themselves are.  `lavra.doctor.checks` has the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lavra.base.checks import Check
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.doctor.checks import Needs, checks_of
from lavra.doctor.machine import Machine
from lavra.doctor.pretraining import PretrainingRun
from lavra.pipeline.crew import Crew
from lavra.pipeline.fit import DoesNotFitError
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.stages.instructions import instructions_stage
from lavra.pipeline.stages.planning import plan_stage
from lavra.pipeline.stages.prepare import prepare_stages
from lavra.runs.finetune import prepare
from lavra.tasks.learning.settings import FinetuneConfig


def examine_finetuning(config: FinetuneConfig, base: Path, workspace: Path) -> Iterator[Check]:
    """Every check for a run of `lavra finetune` with these settings, as they are done; nothing is trained or kept.

    Args:
        config: of the run.
        base: folder of the model it would start from.
        workspace: folder whose disk the result would be on.

    Raises:
        InputError: the data has nothing usable.
        ConfigError: the settings do not fit the model.
    """
    yield from checks_of(Needs.MACHINE, Machine(workspace=workspace, compiles=config.compile != "off"))
    yield from checks_of(Needs.FINETUNING, prepare(config, base))


def examine(config: UpConfig, workspace: Workspace, progress: Progress) -> Iterator[Check]:
    """Every check for a run of `lavra up` with these settings, as they are done."""
    yield from checks_of(Needs.MACHINE, Machine(workspace=workspace.path, compiles=config.compile != "off"))
    stages = [
        *prepare_stages(config, progress),
        instructions_stage(config, progress),
        plan_stage(config, progress, Crew()),
    ]
    try:
        folders = {result.stage: result.folder for result in run_stages(stages, workspace)}
    except DoesNotFitError as refusal:  # the other checks would be of a run that cannot be
        yield refusal.check
        return
    yield from checks_of(Needs.PRETRAINING, PretrainingRun.of(config, folders))
