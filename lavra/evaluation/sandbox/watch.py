"""Run an untrusted process: its input and outputs, its time limit, and its end.

Its standard input is written and its two outputs are read at the same time, within bounds of bytes and seconds; then
its whole session is killed.  The process inherits no environment and no open file.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

_TICK = 0.02  # seconds between two looks at the temporary folder
_MESSAGE_BYTES = 2**16
ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}  # sets have the same order in every run


class Killed:
    """The reason for which a process was killed."""

    TIME, OUTPUT, SCRATCH = "time", "output", "scratch"


@dataclass(slots=True)
class Ended:
    """The end of a process.

    Attributes:
        messages: bytes that it wrote to its first output.
        output: bytes that it wrote to its second output.
        status: status as in `Popen.returncode`.
        stopped: the reason for which it was killed, or an empty text.
        seconds: time from start to end.
    """

    messages: bytearray = field(default_factory=bytearray)
    output: bytearray = field(default_factory=bytearray)
    status: int = 0
    stopped: str = ""
    seconds: float = 0.0


def converse(
    command: Sequence[str], data: bytes, *, seconds: float, output_bytes: int, is_full: Callable[[], bool]
) -> Ended:
    """Start a process, write its input, and read its outputs to their end.

    Args:
        command: command line of the process.
        data: bytes for its standard input.
        seconds: time after which it is killed.
        output_bytes: bytes of its second output after which it is killed.
        is_full: called now and then; the process is killed if it returns True.

    Raises:
        OSError: the process cannot be started.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    ended = Ended()
    try:
        _exchange(process, data, ended, started + seconds, output_bytes, is_full)
    finally:
        _kill(process)
    ended.status, ended.seconds = process.returncode, time.monotonic() - started
    return ended


def _exchange(
    process: subprocess.Popen[bytes],
    data: bytes,
    ended: Ended,
    deadline: float,
    output_bytes: int,
    is_full: Callable[[], bool],
) -> None:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    left = memoryview(data)
    bounds = {process.stdout: (ended.messages, _MESSAGE_BYTES), process.stderr: (ended.output, output_bytes)}
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        for stream in bounds:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and not ended.stopped:
            if time.monotonic() > deadline:
                ended.stopped = Killed.TIME
            elif is_full():
                ended.stopped = Killed.SCRATCH
            for key, _ in selector.select(_TICK):
                if key.fileobj is process.stdin:
                    left = _write(process, left, selector)
                elif not _read(key.fileobj, *bounds[key.fileobj], ended):  # type: ignore[index]
                    selector.unregister(key.fileobj)
        if not ended.stopped:
            _wait(process, ended, deadline, is_full)


def _write(process: subprocess.Popen[bytes], left: memoryview, selector: selectors.BaseSelector) -> memoryview:
    assert process.stdin
    try:
        left = left[os.write(process.stdin.fileno(), left) :]
    except BrokenPipeError:
        left = left[:0]
    if not left:
        selector.unregister(process.stdin)
        process.stdin.close()
    return left


def _read(stream: object, into: bytearray, bound: int, ended: Ended) -> bool:
    """Read the available bytes; False at the stream's end."""
    data = os.read(stream.fileno(), 2**16)  # type: ignore[attr-defined]
    into += data[: max(bound - len(into), 0)]
    if len(into) >= bound:
        ended.stopped = Killed.OUTPUT
    return bool(data)


def _wait(process: subprocess.Popen[bytes], ended: Ended, deadline: float, is_full: Callable[[], bool]) -> None:
    """Watch a process to its end; it may go on after it closed its outputs."""
    while not ended.stopped:
        try:
            process.wait(_TICK)
            return
        except subprocess.TimeoutExpired:
            ended.stopped = Killed.TIME if time.monotonic() > deadline else Killed.SCRATCH if is_full() else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process' session; a child of bubblewrap and its process namespace end with it."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with suppress(BrokenPipeError):
                stream.close()
