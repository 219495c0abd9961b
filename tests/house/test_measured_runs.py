"""Measured runs: a process's memory and time, kept results, and rows as the peer reads them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import measured_runs
from benchmarks.measured_runs import Kept, Meter, RunError, measured

MB = 1_000_000
ROOT = Path(__file__).resolve().parents[2]


def test_the_peak_is_that_of_training() -> None:
    big = np.ones(60 * MB, dtype=np.uint8)  # gone before the clock starts
    meter = Meter(time.perf_counter())
    del big
    meter.imported()
    with meter.training():
        block = np.ones(40 * MB, dtype=np.uint8)
        time.sleep(0.01)
        meter.step_done()
        del block
    figures = meter.figures
    if not figures["memory_of_training_alone"]:
        pytest.skip("this system does not let a process reset the peak of its memory")
    assert figures["memory"] < 40 * MB
    assert figures["process_memory"] >= figures["memory"]
    assert figures["seconds"] >= figures["median_step"] >= 0.01


def test_memory_that_is_taken_shows() -> None:
    """In a separate process: this one may have freed memory left, which a new block fills without growth."""
    program = (
        "import numpy as np; from benchmarks.measured_runs import peak, reset_peak, resident; reset_peak(); "
        "before = resident(); block = np.ones(50_000_000, dtype=np.uint8); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert float(done.stdout) > 45 * MB


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(folder=tmp_path / "cache", say=lambda _: None)


def counting() -> Iterator[dict[str, int]]:
    for number in range(10):
        yield {"number": number}


def test_a_result_is_measured_once(kept: Kept) -> None:
    results = counting()
    asked = {"steps": 3, "seeds": (0, 1)}
    assert kept.get("a", asked, lambda: next(results)) == {"number": 0}
    assert kept.get("a", asked, lambda: next(results)) == {"number": 0}
    assert kept.get("b", asked, lambda: next(results)) == {"number": 1}


def test_other_settings_are_another_result(kept: Kept) -> None:
    results = counting()
    kept.get("a", {"steps": 3}, lambda: next(results))
    assert kept.get("a", {"steps": 4}, lambda: next(results)) == {"number": 1}
    assert kept.find("a", {"steps": 3}) is None


def test_without_a_folder_nothing_is_kept() -> None:
    results = counting()
    kept = Kept(folder=None, say=lambda _: None)
    assert [kept.get("a", {}, lambda: next(results))["number"] for _ in range(2)] == [0, 1]


def test_failed_runs_are_not_kept(kept: Kept) -> None:
    def fail() -> dict[str, int]:
        raise RunError("no")

    with pytest.raises(RunError):
        kept.get("a", {}, fail)
    assert kept.find("a", {}) is None


@pytest.mark.slow
def test_a_run_is_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "side.py").write_text(
        "import os, sys\n"
        "def work(job, meter):\n"
        "    with meter.training():\n"
        "        pass\n"
        "    return {'pid': os.getpid(), 'twice': 2 * job['number'], 'lavra': 'lavra' in sys.modules}\n"
        "def fail(job, meter):\n"
        "    raise SystemExit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = measured("side:work", {"number": 4})
    assert made["twice"] == 8
    assert not made["lavra"]
    assert {"seconds", "cpu_seconds", "memory", "import_seconds", "prepare_seconds"} <= made.keys()
    with pytest.raises(RunError, match="side:fail ended with status 3"):
        measured("side:fail", {})


def test_the_child_writes_what_its_entry_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(job: dict[str, int], meter: Meter) -> dict[str, int]:
        with meter.training():
            pass
        return {"sum": job["a"] + 1}

    monkeypatch.setitem(sys.modules, "side_of_a_test", SimpleNamespace(work=work))
    (tmp_path / "job.json").write_text('{"a": 1}')
    monkeypatch.setattr(
        sys, "argv", ["", "side_of_a_test:work", str(tmp_path / "job.json"), str(tmp_path / "made.json")]
    )
    measured_runs.child()
    assert json.loads((tmp_path / "made.json").read_text())["sum"] == 2
