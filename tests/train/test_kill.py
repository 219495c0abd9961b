"""SIGKILL at random moments in the default configuration (bf16, compiled, Muon): the end equals an uninterrupted run's.

The run is longer than an epoch and saves every second step.  Kills come at random steps, and as soon as a save has
begun; the process's progress at that moment depends on the machine, on purpose.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lavra.base.device import find_compiler
from lavra.train.checkpoint import checkpoint_folders
from lavra.train.hooks import read_metrics
from tests.train.tiny import next_token

ROOT = Path(__file__).resolve().parents[2]
STEPS, KILLS, DEADLINE = 60, 3, 240.0

PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from lavra.train.config import TrainConfig
from lavra.train.hooks import JsonlHook
from lavra.train.loop import train
from tests.train.tiny import next_token, tiny_model

where, compile = Path(sys.argv[1]), sys.argv[2]
config = TrainConfig(num_steps={STEPS}, precision="bf16", compile=compile, save_every=2, accumulation=4)
train(tiny_model(), next_token(where), config, folder=where, hooks=[JsonlHook(where / "metrics.jsonl")])
"""


def start(where: Path) -> subprocess.Popen[str]:
    compile_ = "on" if find_compiler() else "off"
    command = [sys.executable, "-c", PROGRAM, str(where), compile_]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(running: subprocess.Popen[str]) -> None:
    _, errors = running.communicate(timeout=DEADLINE)
    assert running.returncode == 0, errors


def lines(where: Path) -> int:
    path = where / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def saving(where: Path) -> bool:
    return any((where / "checkpoints").glob(".tmp-step-*"))


def kill_when(running: subprocess.Popen[str], condition) -> bool:
    """Kill the process once a condition is true; False if it ended before."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        if running.poll() is not None:
            assert running.returncode == 0, running.communicate()[1]
            return False
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    return True


@pytest.mark.slow
def test_killed_again_and_again_it_is_the_run_left_alone(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    for folder in (alone, killed):
        folder.mkdir()
        assert len(next_token(folder).batches) < STEPS * 4  # so that kills fall into several epochs
    finish(start(alone))
    draw, deaths = random.Random(0), 0
    for number in range(KILLS):
        running, before = start(killed), lines(killed)
        if number % 2:
            deaths += kill_when(running, lambda before=before: lines(killed) > before + 3 and saving(killed))
        else:
            wanted = before + draw.randrange(3, STEPS // KILLS)
            deaths += kill_when(running, lambda wanted=wanted: lines(killed) >= wanted)
    finish(start(killed))
    assert deaths >= 2
    expected, seen = ([row["loss"] for row in read_metrics(folder / "metrics.jsonl")] for folder in (alone, killed))
    assert len(expected) == STEPS
    assert seen == expected
    ends = [checkpoint_folders(folder / "checkpoints")[-1] for folder in (alone, killed)]
    for name in ("weights.safetensors", "optimizer.safetensors"):
        assert (ends[0] / name).read_bytes() == (ends[1] / name).read_bytes()
