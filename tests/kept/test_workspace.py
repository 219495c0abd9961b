"""`lavra up` over a workspace the old code made: every stage is reused, and training that was stopped goes on.

Exact, on any machine: stages, their keys, the numbers of steps and tokens, the learning rates.  The losses and weights
of training that went on: equal to the last bit on a machine like the one that wrote the first half, else within 1e-3.
Two things in a stage's identity are the machine's, and the tests set both to what they were: the text's time of change
(`up` knows a text by names, sizes and times) and the machine that a plan is for (`conftest.as_made`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

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


# Stages whose meaning changed since, and whose version was raised: INT8 is by groups now.
ANEW = {"compress"}


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_second_run_reuses_every_stage_that_means_the_same(family, workspace):
    before = artifacts(workspace)
    result = up(family)
    assert {name for name, stage in result["stages"].items() if not stage["reused"]} == ANEW
    after = artifacts(workspace)
    assert before <= after
    assert {Path(name).name.partition("-")[0] for name in after - before} == ANEW
    assert Path(result["report"]).is_file()
    evaluated = result["stages"]["evaluate"]["metrics"]
    (kept,) = (
        found["metrics"]
        for path in (KEPT / "workspace/runs").glob("evaluate-*")
        if (found := card(path))["parents"]["pretrain"]
        == card(KEPT / "workspace/models" / Path(result["model"]).name)["id"]
    )
    assert evaluated == kept


def rows(workspace: Path) -> list[dict[str, float]]:
    text = (workspace / "runs" / STOPPED.name / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if "gradient_norm" in line]


def trained(workspace: Path) -> dict[str, bool]:
    """Train the decoder, which is no longer there; which stages were reused."""
    shutil.rmtree(workspace / "models" / STOPPED.name)
    return {name: stage["reused"] for name, stage in up("llama")["stages"].items()}


def test_stopped_training_goes_on(workspace, same_machine):
    scratch = workspace / "runs" / STOPPED.name
    shutil.rmtree(scratch)
    shutil.copytree(STOPPED, scratch)
    left = len(rows(workspace))
    assert left == 7
    reused = trained(workspace)
    assert not reused["pretrain"]
    assert all(reused[name] for name in ("corpus", "tokenizer", "tokens", "plan", "instructions", "encoder"))
    ours, kept = rows(workspace), rows(KEPT / "workspace")
    assert [row["seconds"] for row in ours[:6]] == [row["seconds"] for row in kept[:6]]  # it did not begin again
    for name in ("step", "tokens", "learning_rate"):
        assert [row[name] for row in ours] == [row[name] for row in kept]
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in kept], rel=TOLERANCE)
    folder = workspace / "models" / STOPPED.name
    same(weights(folder), weights(KEPT / "workspace/models" / STOPPED.name), exact=same_machine)
    if same_machine:  # the same weights are the same artifact, so what was made of it is still good
        assert {name for name, was in reused.items() if not was} == {"pretrain", *ANEW}


@pytest.mark.slow
def test_training_from_the_old_plan_gives_the_old_model(workspace, same_machine):
    shutil.rmtree(workspace / "runs" / STOPPED.name)
    assert not trained(workspace)["pretrain"]
    folder = workspace / "models" / STOPPED.name
    same(weights(folder), weights(KEPT / "workspace/models" / STOPPED.name), exact=same_machine)
