"""Doctor passes settings that work, names those that do not, and its command line reports both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lavra.base import native_library
from lavra.base.workspace import Workspace
from lavra.cli.main import main
from lavra.doctor import machine
from lavra.doctor.checks import CHECKS, CheckSubject
from lavra.doctor.examine import examine
from lavra.doctor.machine import Machine, disk_check, native_check
from lavra.pipeline import fit
from lavra.pipeline.fit import DoesNotFitError, memory_check, must_pass, time_check
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import SHARES
from lavra.train.config import TrainConfig
from lavra.train.estimate import training_memory
from tests.pipeline.test_up import settings, silent, text
from tests.train.test_checks import objective
from tests.train.tiny import tiny_config

__all__ = ["text"]  # a fixture of test_up

PLAN = Plan(
    family="llama",
    hidden_size=64,
    num_layers=2,
    num_heads=1,
    sequence_length=64,
    batch_size=8,
    train=TrainConfig(num_steps=100, compile="off"),
    seed=0,
    seconds_per_step=0.1,
    seconds=10.0,
)


def test_every_check_of_a_small_run_passes(text: Path, tmp_path: Path):
    checks = list(examine(settings(text), Workspace.open(tmp_path / "w"), silent))
    names = [check.name for check in checks]
    wanted = [
        "memory",
        "time",
        "tokenizer round trip",
        "stop token",
        "chat template",
        "packed = unpacked",
        "save and resume",
    ]
    assert {*wanted, "save and resume"} <= set(names)
    assert names == [one.name for one in CHECKS if one.needs is not CheckSubject.FINETUNING and one.name != "compiler"]
    assert [check for check in checks if check.failed] == []
    # Of documents as long as these no row of 64 tokens holds two.
    assert {check.name for check in checks if not check.tested} <= {"packed = unpacked"}


def test_settings_that_cannot_fit_are_refused_and_fitting_ones_named(tmp_path: Path, monkeypatch):
    config, batch = tiny_config(layers=8), objective(tmp_path, "llama", rows=8).batches.batch(0)
    needed, half = (training_memory(config, PLAN.train, batch.rows(0, rows), compiled=False).total for rows in (8, 4))
    monkeypatch.setattr(fit, "available_memory", lambda: 2 * needed)
    assert memory_check(PLAN, config, batch, compiled=False).passed
    monkeypatch.setattr(fit, "available_memory", lambda: int(half / 0.9) + 2)  # a tenth is left to others
    refused = memory_check(PLAN, config, batch, compiled=False)
    assert not refused.passed
    assert "4 rows a micro-batch would fit" in refused.remedy
    assert "`accumulation 2`" in refused.remedy
    monkeypatch.setattr(fit, "available_memory", lambda: 1000)
    assert "not even one row fits" in memory_check(PLAN, config, batch, compiled=False).remedy


def test_a_run_that_would_take_too_long_is_refused(text: Path, tmp_path: Path, monkeypatch):
    assert time_check(PLAN, 4).passed
    slow = time_check(PLAN, 3)
    assert not slow.passed
    with pytest.raises(DoesNotFitError, match=r"3 steps of 0.10s.*`budget`"):
        must_pass(slow)
    # As the plan stage finds it, where the time holds no step at all.
    for stage in ("pretrain", "adapt", "encoder"):  # the later ones' too, which go to training where they are not used
        monkeypatch.setitem(SHARES, stage, 1e-9)
    *_, last = examine(settings(text), Workspace.open(tmp_path / "w"), silent)
    assert last.name == "time"
    assert last.detail.startswith("0 steps of ")
    assert not last.passed
    assert "`budget`" in last.remedy


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda path: 1000)
    disk = disk_check(Machine(workspace=tmp_path / "w" / "x"))
    assert not disk.passed
    assert "--workspace" in disk.remedy


def test_the_native_runner_is_named_or_why_there_is_none(tmp_path: Path, monkeypatch):
    here = Machine(workspace=tmp_path)
    monkeypatch.setattr(native_library, "LIBRARY", tmp_path / "lavra" / "lavra_native.so")
    missing = native_check(here)
    assert missing.passed
    assert missing.detail.startswith("none: the native runner is not built")
    monkeypatch.setenv("LAVRA_NATIVE", "0")
    assert "LAVRA_NATIVE=0" in native_check(here).detail
    monkeypatch.setenv("LAVRA_NATIVE", "maybe")
    assert not native_check(here).passed


@pytest.mark.parametrize("passed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_verb_says_it_in_its_status(text: Path, tmp_path: Path, monkeypatch, capsys, passed):
    monkeypatch.setattr(fit, "available_memory", lambda: 10**12 if passed else 1000)
    flags = ["--text", str(text), "--workspace", str(tmp_path / "w"), "--budget", "10s", "--vocab-size", "512"]
    status = main(["doctor", *flags, "--sequence-length", "64", "--compile", "off", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert status == (0 if passed else 1)
    assert said["passed"] is passed
    memory = next(check for check in said["checks"] if check["name"] == "memory")
    assert bool(memory["remedy"]) is not passed
