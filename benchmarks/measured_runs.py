"""Training measured in a separate process: seconds, peak memory, and kept results.

The peak memory of a process means something only if the process has done nothing else.  So each run is a fresh process.
It imports torch, notes its memory, imports its side and prepares.  From there to the last step, the clock runs and the
peak of resident memory is noted.  This module imports nothing of lavra or of a peer.  Small runs share the process of
the script: there, only CPU seconds are compared, and starting an interpreter would take more of them than the training.

Runs are long and machines are interrupted: the result of each run is kept in a folder with its settings, and is not
measured again while the settings stay the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # Linux's code for the resident peak in `clear_refs`

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before either side reads it, so that no download is measured

Figures = dict[str, Any]


class RunError(Exception):
    """A run ended without a result."""


class Meter:
    """Measures seconds and memory of a run; made right after torch is imported.

    Args:
        began: clock time when the process began its work.
    """

    def __init__(self, began: float) -> None:
        self._began, self._ready = began, 0.0
        self._baseline, self._before = resident(), 0
        self._steps: list[float] = []
        self.figures: Figures = {}

    def imported(self) -> None:
        """Note that the side's own modules are imported."""
        self.figures["import_seconds"] = time.perf_counter() - self._began

    @contextmanager
    def training(self, device: str = "cpu") -> Iterator[None]:
        """Measure from ready data to the last step; `memory` is the GPU's where there is one."""
        self._before = peak()
        reset = reset_peak()
        cuda = importlib.import_module("torch").cuda if device == "cuda" else None
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        begin, cpu = time.perf_counter(), time.process_time()
        self._steps = [begin]
        yield
        if cuda is not None:
            cuda.synchronize()
        seconds, highest = time.perf_counter() - begin, peak()
        self.figures |= {
            "prepare_seconds": begin - self._began - self.figures["import_seconds"],
            "seconds": seconds,
            "cpu_seconds": time.process_time() - cpu,
            "memory": highest - self._baseline if cuda is None else cuda.max_memory_allocated(),
            "process_memory": max(highest, self._before) - self._baseline,
            "memory_of_training_alone": reset,
            "median_step": statistics.median(self._durations()) if len(self._steps) > 1 else None,
        }

    def step_done(self) -> None:
        """Note the end of a training step."""
        self._steps.append(time.perf_counter())

    def _durations(self) -> list[float]:
        return [after - before for before, after in zip(self._steps[:-1], self._steps[1:], strict=True)]


def resident() -> int:
    """Resident bytes of this process; the peak where the system does not report them."""
    return _status("VmRSS") or peak()


def peak() -> int:
    """Peak of this process's resident bytes since the last reset."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Reset the peak; False where the system does not allow it."""
    try:
        CLEAR.write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _status(name: str) -> int | None:
    if not STATUS.exists():
        return None
    found = next((line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name)), None)
    return None if found is None else int(found.split()[1]) * 1024


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device` to a benchmark that trains; the choice holds for every process that the benchmark starts."""

    def chosen(name: str) -> str:
        cuda = importlib.import_module("torch").cuda
        if name == "cuda" and not cuda.is_available():
            raise argparse.ArgumentTypeError("PyTorch finds no NVIDIA GPU here")
        if name == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return name

    parser.add_argument("--device", type=chosen, default="cpu", choices=("cpu", "cuda"), help="device of all sides")


def measured(entry: str, job: Mapping[str, Any], *, apart: bool = True) -> Figures:
    """Run `module:function` with a job and a `Meter`; returns its result, its seconds and its memory.

    Args:
        entry: the function.
        job: its argument, plain data.
        apart: whether to run in a separate process; in this one, figures of memory mean nothing.

    Raises:
        RunError: the process failed; its own message is above.
    """
    if not apart:
        return _measured_here(entry, json.loads(json.dumps(job)))
    with tempfile.TemporaryDirectory() as name:
        given, made = Path(name) / "job.json", Path(name) / "result.json"
        given.write_text(json.dumps(job), encoding="utf-8")
        path = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-c", "from measured_runs import child; child()", entry, str(given), str(made)],
            env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            stdout=sys.stderr,  # the last line of the parent's own output is the result
            check=False,
        )
        if done.returncode != 0 or not made.exists():
            raise RunError(f"{entry} ended with status {done.returncode}; its own message is above")
        return dict(json.loads(made.read_text(encoding="utf-8")))


def child() -> None:
    """Entry point of the process that `measured` starts."""
    entry, given, made = sys.argv[1:]
    figures = _measured_here(entry, json.loads(Path(given).read_text(encoding="utf-8")))
    Path(made).write_text(json.dumps(figures), encoding="utf-8")


def _measured_here(entry: str, job: Mapping[str, Any]) -> Figures:
    began = time.perf_counter()
    threads = importlib.import_module("torch").get_num_threads()
    meter = Meter(began)
    # PyTorch's optimizers import its compiler when created, transformers on import: import it before the clock starts.
    importlib.import_module("torch._dynamo")
    module, _, function = entry.partition(":")
    run = getattr(importlib.import_module(module), function)
    meter.imported()
    return {**run(job, meter), **meter.figures, "threads": threads}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A folder of results, a file for each.

    Attributes:
        folder: created where it is absent; `None` keeps nothing.
        say: receives a message about each result.
    """

    folder: Path | None
    say: Callable[[str], None] = field(default=lambda text: print(text, file=sys.stderr, flush=True))

    def find(self, name: str, settings: Mapping[str, Any]) -> Figures | None:
        """The kept result of this name, if its settings are the same."""
        path = None if self.folder is None else self.folder / f"{name}.json"
        if path is None or not path.exists():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] == json.loads(json.dumps(settings)):
            return dict(found["result"])
        self.say(f"{name}: kept with other settings; measured again")
        return None

    def get(self, name: str, settings: Mapping[str, Any], make: Callable[[], Figures]) -> Figures:
        """The kept result, or a new one, which is then kept."""
        found = self.find(name, settings)
        if found is not None:
            self.say(f"{name}: kept")
            return found
        self.say(f"{name}: measuring")
        result = make()
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"settings": settings, "result": result}, indent=2, sort_keys=True)
            partial = self.folder / f".{name}.json"
            partial.write_text(text + "\n", encoding="utf-8")
            partial.replace(self.folder / f"{name}.json")
        return result
