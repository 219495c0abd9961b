"""Programs measured together, in turns: all are alive, and exactly one runs at a time, for a few steps.

A shared machine is faster one minute and slower the next.  Programs measured one after the other meet different
minutes; programs that alternate every few seconds meet the same ones, so their ratio stands although no absolute
figure does.  Each program is a process of its own and waits (asleep) for its turn; all are forked from one that has
imported their modules and done nothing else.
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
    """A program's side: it says when a step is done, and waits there when its turn is over."""

    def __init__(self, pipe: Connection, steps_per_turn: int) -> None:
        self._pipe, self._steps_per_turn = pipe, steps_per_turn
        self._began = 0.0
        self.seconds: list[float] = []

    def start(self) -> None:
        """From here on the first step is timed."""
        self._began = time.perf_counter()

    def step_done(self) -> None:
        """Note the step's seconds; let the others go when the turn is over."""
        self.seconds.append(time.perf_counter() - self._began)
        if len(self.seconds) % self._steps_per_turn == 0:
            self._pipe.send(("turn", None))
            self._pipe.recv()
        self._began = time.perf_counter()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a program's steps took.

    Attributes:
        seconds: of each step, waiting left out.
    """

    seconds: list[float]

    @property
    def usual(self) -> float:
        """Seconds of a step, after the warm-up."""
        return statistics.median(self.seconds[WARM_UP:] or self.seconds)

    @property
    def extra(self) -> float:
        """Seconds the warm-up took beyond usual steps: compilation, mostly."""
        return max(0.0, sum(second - self.usual for second in self.seconds[:WARM_UP]))

    @property
    def training(self) -> float:
        """Seconds of all steps without that."""
        return sum(self.seconds) - self.extra


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run.

    Attributes:
        entry: `module:function`; the function takes the job and its `Turns`, and what it returns is the result.
        job: its argument.
        steps_per_turn: how many steps it does before the next program's turn.
    """

    entry: str
    job: Any
    steps_per_turn: int


def race(programs: Mapping[str, Program]) -> dict[str, tuple[Timing, Any]]:
    """Run all programs to their end, in turns; the timing and result of each.

    Raises:
        RaceError: one ended without a result.
    """
    context = multiprocessing.get_context("forkserver")
    # The server finds modules to import by PYTHONPATH alone, and passes over those it does not find.
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
    """Let a program run until it waits again; its result when it is done."""
    try:
        pipe.send("go")
        kind, value = pipe.recv()
    except (EOFError, BrokenPipeError) as error:
        raise RaceError(f"{name} ended before its time; its own message is above") from error
    return None if kind == "turn" else value


def _play(pipe: Connection, program: Program) -> None:
    pipe.recv()  # what it takes to get ready is part of its own turn: nobody else's time is disturbed
    module, _, function = program.entry.partition(":")
    turns = Turns(pipe, program.steps_per_turn)
    result = getattr(importlib.import_module(module), function)(program.job, turns)
    pipe.send(("done", (Timing(seconds=turns.seconds), result)))
