"""Processes of the native runner's benchmark, a process for each side, and their prompts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VOCABULARY = range(300, 40000)


@dataclass(kw_only=True)
class Worker:
    """Process of a side."""

    name: str
    process: subprocess.Popen[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer to one line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        return dict(json.loads(line))

    def rate(self, prompts: list[list[int]], tokens: int, sampled: bool = False) -> float:
        """Tokens written a second, including the time of reading the prompts."""
        done = self.ask({"prompts": prompts, "tokens": tokens, "sampled": sampled})
        return float(done["tokens"] / done["seconds"])

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        """Seconds of that writing."""
        return float(self.ask({"prompts": prompts, "tokens": tokens, "sampled": False})["seconds"])


@contextmanager
def worker(side: str, model: Path, settings: Mapping[str, Any], peers: Path) -> Iterator[Worker]:
    """Start a side's process, ready to write."""
    command = [sys.executable, str(HERE / "native_worker.py"), side, str(model), json.dumps(settings)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(peers), str(ROOT)]), "HF_HUB_OFFLINE": "1"}
    if "threads" in settings:  # else a side uses all cores
        environment["OMP_NUM_THREADS"] = str(settings["threads"])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{side} did not start: status {process.wait()}")
            yield Worker(name=side, process=process, facts=json.loads(line))
        finally:
            process.terminate()


def prompts(count: int, length: int, seed: int) -> list[list[int]]:
    """Random tokens, other tokens for every seed, so that no cache of a side helps it."""
    made = np.random.default_rng(seed).choice(np.array(VOCABULARY), (count, length))
    return [[int(token) for token in row] for row in made]
