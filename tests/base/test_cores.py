"""Threads: fewer while cores are busy, as many as a container's quota, never against the user's own setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.base import cores
from lavra.base.cores import CoreSample, choose_threads, sample_cores, taken_cores, threads_are_free, usable_cores


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)


@pytest.mark.parametrize(
    ("taken", "threads", "says"),
    [
        (0.0, "4", None),
        (0.4, "4", None),
        (1.2, "3", "other programs take 1.2 of 4 cores: 3 of them compute here (OMP_NUM_THREADS sets another number)"),
        (3.9, "1", "other programs take 3.9 of 4 cores: 1 of them computes here (OMP_NUM_THREADS sets another number)"),
    ],
)
def test_fewer_threads_while_cores_are_taken(
    four_cores: None, monkeypatch: pytest.MonkeyPatch, taken: float, threads: str, says: str | None
) -> None:
    monkeypatch.setattr(cores, "taken_cores", lambda before: taken)
    variables: dict[str, str] = {}
    assert choose_threads(sample_cores(), variables) == says
    assert variables == {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": threads, "LAVRA_THREADS": threads}
    assert threads_are_free(variables)
    assert choose_threads(sample_cores(), variables) is None  # a process that lavra starts uses the chosen number


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_the_users_settings_stay(name: str) -> None:
    variables = {"OMP_NUM_THREADS": "7", name: "3"}
    assert choose_threads(sample_cores(), variables) is None
    assert variables == {"OMP_NUM_THREADS": "7", name: "3"}
    assert not threads_are_free(variables)
    assert threads_are_free({})


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1000000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({}, 4),
    ],
)
def test_a_containers_quota_bounds_the_cores(
    four_cores: None, tmp_path: Path, files: dict[str, str], usable: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores() == usable


def test_the_kernels_counters_are_of_the_cores_we_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1})
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 5 5 5 5 5 5 5 5 0 0\ncpu1 100 20 30 999 888 4 5 6 0 0\nintr 1\n")
    monkeypatch.setattr(cores, "_STAT", stat)
    ticks = os.sysconf("SC_CLK_TCK")
    assert sample_cores().busy == (100 + 20 + 30 + 4 + 5 + 6) / ticks
    monkeypatch.setattr(cores, "_STAT", tmp_path / "none")
    assert sample_cores().busy is None
    assert taken_cores(sample_cores()) == 0.0


def test_own_work_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CoreSample(at=10.0, busy=100.0, own=5.0)
    monkeypatch.setattr(cores, "sample_cores", lambda: CoreSample(at=12.0, busy=103.0, own=7.0))
    monkeypatch.setattr(cores, "usable_cores", lambda: 4)
    assert taken_cores(before) == pytest.approx((103 - 100 - 2) / 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the counters are Linux's")
def test_a_busy_program_is_seen() -> None:
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = sample_cores()
        assert taken_cores(before) > 0.3
    finally:
        spinning.kill()
        spinning.wait()
