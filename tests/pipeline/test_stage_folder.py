"""A run in a stage: after any stop it continues to the same artifact, and checkpoints are deleted last."""

from __future__ import annotations

from pathlib import Path

import pytest

from lavra.base.workspace import Workspace
from lavra.pipeline.stage import Stage, StageContext, StageOutcome, run_stages
from lavra.pipeline.stage_folder import StageFolder
from lavra.runs.run import carry_out
from lavra.train.checkpoint import checkpoint_folders
from tests.runs.toy import STEPS, StoppedError, made, quiet, same, stop_at, weights


def carried_out(workspace: Path, progress=quiet, after=quiet, resumed: list[int] | None = None) -> StageOutcome:
    """The artifact of a stage that performs a run; `after` is called with its folder before it is moved into place."""

    def run(context: StageContext) -> None:
        done = carry_out(made(), StageFolder(context), progress)
        if resumed is not None:
            resumed.append(done.train.resumed_from)
        after(context.folder)

    stage = Stage(name="teach", kind="model", folder="models", version=1, run=run, resumable=True)
    (outcome,) = run_stages([stage], Workspace.open(workspace))
    return outcome


def stop(folder: Path) -> None:
    raise StoppedError


def scratch(workspace: Path) -> Path:
    (found,) = (workspace / "runs").iterdir()
    return found


@pytest.mark.parametrize(
    ("moment", "from_step"), [({"progress": stop_at(5)}, 3), ({"after": stop}, STEPS)], ids=["training", "saved"]
)
def test_a_stopped_stage_goes_on_to_the_same_artifact(tmp_path: Path, moment, from_step: int) -> None:
    whole = carried_out(tmp_path / "whole")
    with pytest.raises(StoppedError):
        carried_out(tmp_path / "w", **moment)
    assert not list((tmp_path / "w" / "models").iterdir())
    assert checkpoint_folders(scratch(tmp_path / "w") / "checkpoints")
    resumed: list[int] = []
    outcome = carried_out(tmp_path / "w", resumed=resumed)
    assert resumed == [from_step]
    assert same(weights(outcome.folder), weights(whole.folder))
    assert outcome.card.id == whole.card.id


def test_a_finished_stage_leaves_its_metrics_and_no_checkpoints(tmp_path: Path) -> None:
    carried_out(tmp_path / "w")
    assert {path.name for path in scratch(tmp_path / "w").iterdir()} == {"start.txt", "metrics.jsonl"}
