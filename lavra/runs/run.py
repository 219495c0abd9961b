"""The one run: measure, train, measure, save.

`lavra finetune`, `lavra distill` and the teaching stages of `lavra up` each prepare a `Run` and let `carry_out` do the
rest:

    refuse another start -> measure -> train -> measure -> keep the artifact -> sweep the scratch folder

Training goes on from the latest checkpoint in the scratch folder, and the scratch folder goes last.  So a kill costs
the steps since a checkpoint, and a kill between training and saving costs no step at all.

A teacher is optional (`runs/distill.py`), and so is a budget: `runs/budget.py` finds the number of steps within an
allowance of seconds, and the `Run` is made with that number.

The scratch folder holds `start.txt` (the weights the run began as), `metrics.jsonl` (a line a step) and `checkpoints/`.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from torch import nn

from lavra.base.card import artifact_id, write_card
from lavra.base.disk import require_room
from lavra.base.errors import OtherRunError
from lavra.base.files import atomic_folder, write_text
from lavra.base.ports import Hook, Progress
from lavra.distillation.training_task import DistillationTask
from lavra.tasks.learning.recipe import Recipe, TrainingTask
from lavra.train.config import TrainConfig
from lavra.train.hooks import CallbackHook, JsonlHook
from lavra.train.identity import weights_id
from lavra.train.loop import Evaluate, TrainResult, train
from lavra.train.objective import AnyObjective

logger = logging.getLogger(__name__)

START_FILE: Final = "start.txt"
METRICS_FILE: Final = "metrics.jsonl"
CHECKPOINTS: Final = "checkpoints"

Before = TypeVar("Before")
After = TypeVar("After")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class RunOutcome(Generic[Before, After]):
    """The result of a run.

    Attributes:
        before: measured before training.
        after: measured after training.
        train: steps, time and loss of training.
    """

    before: Before
    after: After
    train: TrainResult


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The artifact that a run saves.

    Attributes:
        kind: kind of the artifact, as its card names it (`model`, `adapter`).
        write: writes all files but the card into an empty folder.
        parents: card ids of its sources, by role.
        config: the settings that made it; part of its identity.
        metrics: measured values; not part of its identity.
    """

    kind: str
    write: Callable[[Path], None]
    parents: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run(Generic[Before, After]):
    """A run of training, ready to be carried out.

    Attributes:
        recipe: the model that is trained and its task.
        training_task: the rows and the objective.
        train: settings of the training loop.
        before: measures before training; the module holds the weights it starts from, whether the run resumes or not.
        after: measures after training; the module is in evaluation mode.
        artifact: makes the artifact from the outcome.
        teacher: opens the teacher when training begins; None learns from the labels alone.
        evaluate: measures during training, every `train.eval_every` steps; None measures nothing.
        part: name of the training for `Progress`.
    """

    recipe: Recipe
    training_task: TrainingTask
    train: TrainConfig
    before: Callable[[], Before]
    after: Callable[[], After]
    artifact: Callable[[RunOutcome[Before, After]], Artifact]
    teacher: Callable[[], DistillationTask] | None = None
    evaluate: Evaluate | None = None
    part: str = "train"


class Destination(Protocol):
    """The folders of a run's progress and of its artifact."""

    @property
    def scratch(self) -> Path:
        """Folder of checkpoints and metrics, which outlives a kill."""
        ...

    def keep(self, artifact: Artifact) -> None:
        """Save the artifact."""
        ...

    def sweep(self) -> None:
        """Remove files from the scratch folder that a finished run does not need."""
        ...


@dataclass(frozen=True)
class NewFolder:
    """A folder that appears whole, with its card; its scratch folder stands beside it until then.

    Attributes:
        path: path of the folder; an existing folder is replaced.
    """

    path: Path

    @property
    def scratch(self) -> Path:
        """The folder `.NAME-training` beside the folder."""
        return self.path.parent / f".{self.path.name}-training"

    def keep(self, artifact: Artifact) -> None:
        """Write files and card, then rename the folder into place."""
        with atomic_folder(self.path) as work:
            artifact.write(work)
            write_card(
                work, kind=artifact.kind, parents=artifact.parents, config=artifact.config, metrics=artifact.metrics
            )

    def sweep(self) -> None:
        """Remove the scratch folder."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def carry_out_into(
    run: Run[Before, After], out: Path, progress: Progress, hooks: Sequence[Hook] = (), *, replace: bool = False
) -> RunOutcome[Before, After]:
    """Carry a run out into a new folder.

    Args:
        run: the run.
        out: the folder; an existing folder is replaced.
        progress: shows the parts of the run.
        hooks: as in `carry_out`.
        replace: whether a stopped run of another model, other data or other settings is deleted, not refused.

    Raises:
        OtherRunError: there is such a run, and `replace` is False.  Other errors are those of `carry_out`.
    """
    try:
        return carry_out(run, NewFolder(out), progress, hooks, replace=replace)
    except OtherRunError as error:
        raise OtherRunError(f"{error}; or set `replace`, which deletes the stopped run and starts anew") from error


def carry_out(
    run: Run[Before, After],
    destination: Destination,
    progress: Progress,
    hooks: Sequence[Hook] = (),
    *,
    replace: bool = False,
) -> RunOutcome[Before, After]:
    """Measure, train, measure and save.

    Args:
        run: the run.
        destination: the place of checkpoints and of the artifact.
        progress: shows the parts of the run.
        hooks: called in training, beside those that write `metrics.jsonl` and show progress.
        replace: whether a stopped run of another model, other data or other settings is deleted, not refused.

    Raises:
        DiskFullError: checkpoint and result would not fit.
        TrainingError: the loss is not finite or exploded.
        OtherRunError: the scratch folder holds such a run, and `replace` is False.
        ResumeError: the stopped run is this one, and the machine differs.
    """
    scratch, module = destination.scratch, run.recipe.module()
    _or_anew(lambda: refuse_other_start(scratch, module), scratch, replace)
    require_room(scratch, bytes_written(module), "the run, checkpoint and model,")
    progress("score before", 0, None)
    before = run.before()
    result = _or_anew(lambda: _train(run, scratch, progress, hooks), scratch, replace)
    progress("score after", 0, None)
    outcome = RunOutcome(before=before, after=run.after(), train=result)
    destination.keep(run.artifact(outcome))
    destination.sweep()
    return outcome


def bytes_written(module: nn.Module) -> int:
    """Bytes that a run puts on the disk at least: a checkpoint of trained weights, AdamW's two moments, the result."""
    trained = sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
    return (1 + 2 + 1) * trained


def _or_anew(begin: Callable[[], Result], scratch: Path, replace: bool) -> Result:
    """The result of `begin`; where another run's checkpoints refuse it, they are deleted first if `replace` is set."""
    try:
        return begin()
    except OtherRunError as error:
        if not replace:
            raise
        logger.warning("%s; replace is set, so that stopped run is deleted and this one starts anew", error)
        shutil.rmtree(scratch / CHECKPOINTS)
        (scratch / METRICS_FILE).unlink(missing_ok=True)
        return begin()


def refuse_other_start(scratch: Path, module: nn.Module) -> None:
    """Write down the weights a run begins as; a stopped run that began as other weights is not gone on with.

    Args:
        scratch: folder of the run.
        module: the module to train, as it begins.

    Raises:
        OtherRunError: the folder holds checkpoints of a run that began as other weights.
    """
    note, own = scratch / START_FILE, weights_id(module)
    goes_on = note.exists() and any((scratch / CHECKPOINTS).glob("*"))
    if goes_on and note.read_text(encoding="utf-8") != own:
        raise OtherRunError(
            f"{scratch} holds a stopped run that began as another model; go on with that one, delete the folder, or "
            "write to another place"
        )
    scratch.mkdir(parents=True, exist_ok=True)
    write_text(note, own)


def _train(run: Run[Before, After], scratch: Path, progress: Progress, hooks: Sequence[Hook]) -> TrainResult:
    watching = [JsonlHook(scratch / METRICS_FILE), show_steps(run.part, run.train.num_steps, progress), *hooks]
    with _taught(run) as (module, objective):
        result = train(module, objective, run.train, folder=scratch, hooks=watching, evaluate=run.evaluate)
    run.recipe.module().eval()
    return result


@contextmanager
def _taught(run: Run[Before, After]) -> Iterator[tuple[nn.Module, AnyObjective]]:
    """The module and the objective for the loop; a teacher watches both models until the block ends."""
    if run.teacher is None:
        yield run.recipe.module(), run.training_task.objective
        return
    with run.teacher() as training_task:
        yield training_task.student, training_task.objective


def loss_of_step(metrics: Mapping[str, float]) -> str:
    """The loss as text, such as `loss 2.310`."""
    return f"loss {metrics['loss']:.3f}"


def show_steps(
    part: str, num_steps: int, progress: Progress, note: Callable[[Mapping[str, float]], str] = loss_of_step
) -> Hook:
    """A hook that shows each step as progress.

    Args:
        part: name of the training.
        num_steps: number of steps.
        progress: shows them.
        note: text beside a step, of its metrics.
    """

    def show(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:  # an evaluation has none
            progress(part, step + 1, num_steps, note(metrics))

    return CallbackHook(show)


def parent_ids(folders: Mapping[str, Path | None]) -> dict[str, str]:
    """Ids of the folders that have a card, and of files, by role."""
    found = {role: artifact_id(folder) for role, folder in folders.items() if folder is not None}
    return {role: known for role, known in found.items() if known is not None}
