"""What verbs show on the terminal: progress, tables of results, stages as they go by.

Progress goes to stderr and results to stdout, so that a script reads results alone.  Nothing shows for what is done
in two seconds; after that a bar, or where nobody watches (a log file, CI) a line every few seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lavra.base.events import subscribed
from lavra.base.units import format_duration, format_size
from lavra.cli.activity import activity
from lavra.cli.streams import holds

BAR_AFTER = 2.0  # seconds; what ends sooner needs no bar
LINE_EVERY = 5.0  # seconds between lines where there is no terminal


class Unit(Enum):
    """What is being counted."""

    THINGS = "things"
    BYTES = "bytes"

    def show(self, amount: float) -> str:
        """An amount as people read it."""
        return format_size(amount) if self is Unit.BYTES else f"{amount:,.0f}"


class Meter:
    """Shows how far some work is; call it as often as you like, it costs a clock reading.

    A call names the step, so that work of several steps shows one bar after another:
    `meter("read", done, total)`; `total` is `None` where it is not known.
    """

    def __init__(self, unit: Unit, stream: TextIO) -> None:
        self._unit = unit
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._step = ""
        self._started = self._shown = time.monotonic()
        self._bars: Progress | None = None
        self._task = TaskID(0)

    def __call__(self, step: str, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far a step is.

        Args:
            step: what is being done, in a word or two.
            done: how much of it.
            total: of how much, if known.
            note: what else to show (`loss 2.31 · 51 % of peak`).
        """
        now = time.monotonic()
        activity.begin(step)
        if step != self._step:
            self.close()
            self._step, self._started, self._shown = step, now, now
        if self._bars is not None:
            self._bars.update(self._task, completed=done, total=total, amount=self._amount(done, total), note=note)
        elif self._is_terminal and now - self._started >= BAR_AFTER:
            self._open(done, total, note)
        elif not self._is_terminal and now - self._shown >= LINE_EVERY:
            self._shown = now
            self._stream.write(self._line(done, total, note, now - self._started) + "\n")
            self._stream.flush()
            activity.heard()

    def close(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            activity.live(shown=False)

    def _open(self, done: float, total: float | None, note: str) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),  # a step may be named by a file, which is not markup
            BarColumn(bar_width=28),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=self._stream),
            transient=True,
        )
        self._bars.start()
        activity.live(shown=True)
        amount = self._amount(done, total)
        self._task = self._bars.add_task(self._step, completed=int(done), total=total, amount=amount, note=note)

    def _amount(self, done: float, total: float | None) -> str:
        return self._unit.show(done) + (f" of {self._unit.show(total)}" if total else "")

    def _line(self, done: float, total: float | None, note: str, seconds: float) -> str:
        parts = [f"{self._step}: {self._amount(done, total)}", f"{format_duration(seconds)} so far"]
        if total and done:
            parts.append(f"about {format_duration(seconds * (total - done) / done)} left")
        return ", ".join(parts + ([note] if note else []))


@contextmanager
def meter(unit: Unit = Unit.THINGS, stream: TextIO | None = None) -> Iterator[Meter]:
    """A `Meter` on stderr for the length of a block; its bar is gone when the block ends, however it ends."""
    shown = Meter(unit, stream or sys.stderr)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def stages_shown(stream: TextIO | None = None) -> Iterator[None]:
    """Print a line for each stage the pipeline starts, reuses and finishes, for the length of a block."""

    def show(name: str, fields: Mapping[str, Any]) -> None:
        line = _stage_line(name, fields)
        if line:  # an open bar puts itself between: `sys.stderr` of now prints above it
            print(line, file=stream or sys.stderr, flush=True)
            activity.begin(str(fields["stage"]))
            activity.heard()

    with subscribed(show):
        yield


def _stage_line(name: str, fields: Mapping[str, Any]) -> str | None:
    if name not in ("stage.start", "stage.reused", "stage.done", "stage.failed"):
        return None
    head = f"[{fields['index']}/{fields['total']}] {fields['stage']}"
    if name == "stage.start":
        return f"{head} …"
    if name == "stage.reused":
        return f"{head}: unchanged, reused"
    return f"{head}: {'done in' if name == 'stage.done' else 'stopped after'} {format_duration(fields['seconds'])}"


def print_rows(rows: Sequence[tuple[str, str]], stream: TextIO | None = None) -> None:
    """Label and value, one row a line, the values aligned."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        print(f"  {label:<{width}}  {value}".rstrip(), file=stream or sys.stdout)


def print_json(value: Any) -> None:
    """One JSON object on stdout, for scripts."""
    print_json_line(value, indent=2, sort_keys=True)


def print_json_line(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> None:
    """One JSON object on one line of stdout; characters that its encoding does not have are escaped."""
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    if not holds(sys.stdout, text):
        text = json.dumps(value, indent=indent, sort_keys=sort_keys)
    print(text, flush=True)
