"""The finetuning benchmark's rule for a claim that holds."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("finetuning")


def outcome(script: ModuleType, ours, peers, *, task="rte", seconds=(5.0, 10.0), memory=(50.0, 100.0)):
    known = script.TASKS[task]
    sides = [
        [{"scores": {known.score: score}, "seconds": took, "memory": held} for score in scores]
        for scores, took, held in zip((ours, peers), seconds, memory, strict=True)
    ]
    return script.FinetunedTask(task=known, ours=sides[0], peers=sides[1])


def test_a_score_may_be_lower_by_the_spread_of_seeds(script: ModuleType) -> None:
    assert outcome(script, [0.70, 0.72, 0.74], [0.73, 0.74, 0.75]).failed == []  # 0.02 behind, spread 0.02
    assert outcome(script, [0.69, 0.70, 0.71], [0.73, 0.74, 0.75]).failed == ["score"]


def test_of_a_loss_less_is_better(script: ModuleType) -> None:
    assert outcome(script, [2.0], [2.5], task="instruct").failed == []
    assert outcome(script, [2.5], [2.0], task="instruct").failed == ["score"]


def test_time_and_memory_have_their_bars(script: ModuleType) -> None:
    assert outcome(script, [1.0], [1.0], seconds=(6.1, 10.0)).failed == ["time"]
    assert outcome(script, [1.0], [1.0], memory=(71.0, 100.0)).failed == ["memory"]


def test_the_table_names_what_fails(script: ModuleType) -> None:
    good, bad = outcome(script, [0.7, 0.8], [0.7, 0.8]), outcome(script, [0.7], [0.9], seconds=(9.0, 10.0))
    rows = script.table([good, bad])
    assert [row[-1] for row in rows] == ["holds", "yes", "no: score, time"]
    assert rows[1][2] == "0.7500 ± 0.0707"
    assert script.markdown(rows).count("\n") == 4
