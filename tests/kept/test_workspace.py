"""`lavra up` over a workspace from old code: unchanged stages are reused, and stopped training continues.

The stages of `CHANGED` have another meaning since then (the split counts bytes, any text is trained on), so they and
their results are made again, beside the old artifacts, which stay.

Exact, on any machine: stages, their keys, the numbers of steps and tokens, the learning rates.  The losses and weights
of resumed training are equal to the last bit on a machine like the one that wrote the first half, else within 1e-3.
Two parts of a stage's identity depend on the machine, and the tests set both to their old values: the text's
modification time (`up` identifies a text by names, sizes and times) and the machine of a plan (`conftest.as_made`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lavra.model.checkpoint import save_checkpoint
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.training import PretrainRun, lead
from lavra.pipeline.worker_group import WorkerGroup
from lavra.train.hooks import JsonlHook
from tests.kept.expected import KEPT, card, said, up_settings
from tests.kept.test_runs import TOLERANCE, same, weights

pytestmark = pytest.mark.usefixtures("as_made")
(STOPPED,) = (KEPT / "stopped/pretrain").iterdir()


def up(family: str) -> dict:
    flags = [part for name, value in up_settings(family).items() for part in (f"--{name.replace('_', '-')}", value)]
    return said("up", "--text", "text", "--workspace", "workspace", *flags)


def artifacts(workspace: Path) -> set[str]:
    return {path.parent.relative_to(workspace).as_posix() for path in workspace.rglob("lavra.json")}


@pytest.fixture
def workspace(here: Path) -> Path:
    return Path(shutil.copytree(KEPT / "workspace", here / "workspace"))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_later_run_makes_anew_what_means_something_else_and_leaves_the_old(family, workspace):
    before = artifacts(workspace)
    result = up(family)
    # The corpus means something else, and every stage follows from it.
    assert not [name for name, stage in result["stages"].items() if stage["reused"]]
    assert before < artifacts(workspace)
    assert Path(result["report"]).is_file()


def rows(workspace: Path) -> list[dict[str, float]]:
    text = (workspace / "runs" / STOPPED.name / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if "gradient_norm" in line]


def folder_of(workspace: Path, name: str) -> Path:
    """The artifact from which the kept decoder was made."""
    wanted = card(KEPT / "workspace/models" / STOPPED.name)["parents"][name]
    (found,) = (path.parent for path in workspace.rglob("lavra.json") if card(path.parent)["id"] == wanted)
    return found


def train_decoder(workspace: Path) -> Path:
    """Train the decoder by its old plan; returns the folder of its weights."""
    scratch = workspace / "runs" / STOPPED.name
    scratch.mkdir(exist_ok=True)
    run = PretrainRun(
        plan=Plan.load(folder_of(workspace, "plan")),
        tokens=folder_of(workspace, "tokens"),
        tokenizer=folder_of(workspace, "tokenizer"),
        noise=UpConfig().noise,
        scratch=scratch,
        watch=True,
    )
    model, _ = lead(WorkerGroup(), run, [JsonlHook(scratch / "metrics.jsonl")])
    folder = workspace / "models" / "again"
    folder.mkdir()
    save_checkpoint(model, folder)
    return folder


def test_stopped_training_goes_on(workspace, same_machine):
    scratch = workspace / "runs" / STOPPED.name
    shutil.rmtree(scratch)
    shutil.copytree(STOPPED, scratch)
    left = len(rows(workspace))
    assert left == 7
    folder = train_decoder(workspace)
    ours, kept = rows(workspace), rows(KEPT / "workspace")
    assert [row["seconds"] for row in ours[:6]] == [row["seconds"] for row in kept[:6]]  # it did not begin again
    for name in ("step", "tokens", "learning_rate"):
        assert [row[name] for row in ours] == [row[name] for row in kept]
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in kept], rel=TOLERANCE)
    same(weights(folder), weights(KEPT / "workspace/models" / STOPPED.name), exact=same_machine)


@pytest.mark.slow
def test_training_from_the_old_plan_gives_the_old_model(workspace, same_machine):
    shutil.rmtree(workspace / "runs" / STOPPED.name)
    folder = train_decoder(workspace)
    same(weights(folder), weights(KEPT / "workspace/models" / STOPPED.name), exact=same_machine)
