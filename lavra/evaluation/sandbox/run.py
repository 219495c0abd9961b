"""Run solutions and their tests in a sandbox, one program or many at the same time."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from lavra.evaluation.sandbox.launch import child_task, command
from lavra.evaluation.sandbox.limits import SandboxLimits
from lavra.evaluation.sandbox.report import Attempt, ProgramEnd, SandboxKind, SandboxReport
from lavra.evaluation.sandbox.watch import Ended, Killed, converse

# Bounds the programs that run at the same time, over all callers: one for each core.
_CORES = len(os.sched_getaffinity(0))
_SLOTS = threading.BoundedSemaphore(_CORES)
_STOPPED = {
    Killed.TIME: ProgramEnd.TIMED_OUT,
    Killed.OUTPUT: ProgramEnd.TOO_MUCH_OUTPUT,
    Killed.SCRATCH: ProgramEnd.TOO_MUCH_SCRATCH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeToRun:
    """A program: a solution, and tests that use its names.

    Attributes:
        solution: Python code, executed first.
        tests: Python code, executed after it in the same namespace; the solution passes if this raises nothing.
    """

    solution: str
    tests: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A sandbox that runs code.

    Attributes:
        kind: kind of the sandbox.
        limits: limits of each program.
    """

    kind: SandboxKind
    limits: SandboxLimits = field(default_factory=SandboxLimits)

    def run(self, code: CodeToRun) -> SandboxReport:
        """Run one program to its end, which comes within `limits.wall_seconds`."""
        token = secrets.token_hex(16)
        with _SLOTS, _Scratch(self.limits) as scratch:
            task = child_task(self.kind, self.limits, scratch.path)
            task |= {"token": token, "solution": code.solution, "tests": code.tests}
            ended = converse(
                command(self.kind, self.limits),
                json.dumps(task).encode(),
                seconds=self.limits.wall_seconds,
                output_bytes=self.limits.output_bytes,
                is_full=scratch.is_full,
            )
        return _report(self, ended, token)

    def run_all(self, codes: Sequence[CodeToRun]) -> list[SandboxReport]:
        """Run programs, one at a time on each core; reports are in the order of the programs."""
        with ThreadPoolExecutor(_CORES) as pool:
            return list(pool.map(self.run, codes))


class _Scratch:
    """The temporary folder of a program; it stays empty with bubblewrap, whose child has a folder in memory instead."""

    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self.path = ""

    def __enter__(self) -> _Scratch:
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="lavra-sandbox-"))
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def is_full(self) -> bool:
        """Whether the folder has too many files or too many bytes."""
        sizes = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # the program has deleted the file in between
                    sizes.append(entry.stat(follow_symlinks=False).st_size)
        return len(sizes) > self._limits.scratch_files or sum(sizes) > self._limits.scratch_bytes


def _report(sandbox: Sandbox, ended: Ended, token: str) -> SandboxReport:
    messages = _messages(bytes(ended.messages))
    attempts = [Attempt[name] for name in (str(one.get("attempt")) for one in messages) if name in Attempt.__members__]
    output = ended.output.decode("utf-8", "replace")
    outcome, detail = _outcome(sandbox, ended, messages, token, output)
    return SandboxReport(
        sandbox=sandbox.kind,
        outcome=outcome,
        attempts=tuple(dict.fromkeys(attempts)),
        detail=detail,
        output=output,
        seconds=ended.seconds,
    )


def _messages(text: bytes) -> list[dict[str, object]]:
    """The lines that are JSON objects; a program may write any text to the checker's stream."""
    found = []
    for line in text.splitlines():
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(message, dict):
            found.append(message)
    return found


def _outcome(
    sandbox: Sandbox, ended: Ended, messages: list[dict[str, object]], token: str, output: str
) -> tuple[ProgramEnd, str]:
    if ended.stopped:
        return _STOPPED[ended.stopped], _bound(sandbox.limits, ended.stopped)
    for message in messages:
        if message.get("token") == token and message.get("outcome") in ProgramEnd.__members__:
            return ProgramEnd[str(message["outcome"])], bytes.fromhex(str(message.get("detail"))).decode()
    if not any("started" in message for message in messages):
        return ProgramEnd.NOT_STARTED, " ".join(output.split())[-500:]
    number = -ended.status if ended.status < 0 else ended.status - 128  # bubblewrap adds 128, as shells do
    if number == signal.SIGXCPU or (number == signal.SIGKILL and ended.seconds >= sandbox.limits.cpu_seconds):
        return ProgramEnd.TIMED_OUT, f"{sandbox.limits.cpu_seconds} s of computation"
    if number > 0:
        return ProgramEnd.KILLED, signal.strsignal(number) or f"signal {number}"
    return ProgramEnd.EXITED, f"exit status {ended.status}"


def _bound(limits: SandboxLimits, stopped: str) -> str:
    bounds = {
        Killed.TIME: f"{limits.wall_seconds:g} s",
        Killed.OUTPUT: f"{limits.output_bytes:,} bytes printed",
        Killed.SCRATCH: f"{limits.scratch_bytes:,} bytes or {limits.scratch_files:,} files written",
    }
    return bounds[stopped]
