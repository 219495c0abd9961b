"""Programs measured together in turns: all are alive, and exactly one runs at a time, for a few steps.

A shared machine is faster one minute and slower the next.  Programs measured one after the other meet different
minutes; programs that alternate every few seconds meet the same minutes, so their ratio is reliable although no
absolute figure is.  Each program is a separate process and sleeps until its turn; all are forked from one process that
has imported their modules and done nothing else.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

FOLDER = str(Path(__file__).resolve().parent)
WARM_UP = 3  # steps that may compile, allocate and fill caches


class RaceError(Exception):
    """A program ended without a result."""


class Turns:
    """A program's side: it reports each finished step, and waits there when its turn is over."""

    def __init__(self, pipe: Connection, steps_per_turn: int) -> None:
        self._pipe, self._steps_per_turn = pipe, steps_per_turn
        self._began = 0.0
        self.seconds: list[float] = []

    def start(self) -> None:
        """Start timing the first step."""
        self._began = time.perf_counter()

    def step_done(self) -> None:
        """Note the step's seconds; wait for the others when the turn is over."""
        self.seconds.append(time.perf_counter() - self._began)
        if len(self.seconds) % self._steps_per_turn == 0:
            self._pipe.send(("turn", None))
            self._pipe.recv()
        self._began = time.perf_counter()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of a program's steps.

    Attributes:
        seconds: seconds of each step, without waiting.
    """

    seconds: list[float]

    @property
    def usual(self) -> float:
        """Seconds of a step after the warm-up."""
        return statistics.median(self.seconds[WARM_UP:] or self.seconds)

    @property
    def extra(self) -> float:
        """Seconds of the warm-up beyond usual steps: mostly compilation."""
        return max(0.0, sum(second - self.usual for second in self.seconds[:WARM_UP]))

    @property
    def training(self) -> float:
        """Seconds of all steps without that extra time."""
        return sum(self.seconds) - self.extra


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to run.

    Attributes:
        entry: `module:function`; the function takes the job and its `Turns`, and what it returns is the result.
        job: its argument.
        steps_per_turn: number of its steps before the next program's turn.
    """

    entry: str
    job: Any
    steps_per_turn: int


def race(programs: Mapping[str, Program]) -> dict[str, tuple[Timing, Any]]:
    """Run all programs to their end, in turns; returns the timing and result of each.

    Raises:
        RaceError: a program ended without a result.
    """
    context = multiprocessing.get_context("forkserver")
    # The fork server finds modules only through PYTHONPATH, and ignores those that it does not find.
    os.environ["PYTHONPATH"] = os.pathsep.join([FOLDER, *filter(None, [os.environ.get("PYTHONPATH")])])
    context.set_forkserver_preload([program.entry.partition(":")[0] for program in programs.values()])
    pipes: dict[str, Connection] = {}
    results: dict[str, tuple[Timing, Any]] = {}
    processes = []
    for name, program in programs.items():
        pipes[name], theirs = context.Pipe()
        process = context.Process(target=_play, args=(theirs, program))
        process.start()
        theirs.close()
        processes.append(process)
    waiting = deque(programs)
    while waiting:
        name = waiting.popleft()
        finished = _turn(name, pipes[name])
        if finished is None:
            waiting.append(name)
        else:
            results[name] = finished
    for process in processes:
        process.join()
    return results


def _turn(name: str, pipe: Connection) -> tuple[Timing, Any] | None:
    """Let a program run until it waits again; returns its result when it has ended."""
    try:
        pipe.send("go")
        kind, value = pipe.recv()
    except (EOFError, BrokenPipeError) as error:
        raise RaceError(f"{name} ended before its time; its own message is above") from error
    return None if kind == "turn" else value


def _play(pipe: Connection, program: Program) -> None:
    pipe.recv()  # its preparation is part of its own turn, so that it does not disturb the others' time
    module, _, function = program.entry.partition(":")
    turns = Turns(pipe, program.steps_per_turn)
    result = getattr(importlib.import_module(module), function)(program.job, turns)
    pipe.send(("done", (Timing(seconds=turns.seconds), result)))
