"""Progress of some work: a bar in a terminal and in a notebook, lines elsewhere, both on standard error.

Nothing shows for work of less than two seconds; after that a bar, or a line every few seconds without a terminal (a
log file, CI).  A notebook has a bar where `ipywidgets` is installed, which rich draws it with.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO

from lavra.base.events import subscribed
from lavra.base.lazy import resolve
from lavra.base.ports import Progress, silent
from lavra.base.units import format_duration, format_size
from lavra.verbs.activity import activity

if TYPE_CHECKING:  # a bar is shown by few verbs, and Rich takes 2 MB of a server's memory
    from lavra.verbs.progress_bar import ProgressBar

BAR_AFTER = 2.0  # seconds; shorter work needs no bar
LINE_EVERY = 5.0  # seconds between lines where there is no terminal


class Unit(Enum):
    """Unit of the counted work."""

    THINGS = "things"
    BYTES = "bytes"

    def show(self, amount: float) -> str:
        """An amount in a form for people."""
        return format_size(amount) if self is Unit.BYTES else f"{amount:,.0f}"


class Meter:
    """Display of progress; call it as often as you like, a call only reads the clock.

    A call names the step, so that work of several steps shows one bar after another:
    `meter("read", done, total)`; `total` is `None` where it is unknown.
    """

    def __init__(self, unit: Unit, stream: TextIO) -> None:
        self._unit = unit
        self._stream = stream
        self._has_bars = stream.isatty() or _in_notebook()
        self._step = ""
        self._started = self._shown = time.monotonic()
        self._bar: ProgressBar | None = None

    def __call__(self, step: str, done: float, total: float | None = None, note: str = "") -> None:
        """Report the progress of a step.

        Args:
            step: name of the step, a word or two.
            done: finished amount.
            total: whole amount, if known.
            note: further text to show (`loss 2.31 · 51 % of peak`).
        """
        now = time.monotonic()
        activity.begin(step)
        if step != self._step:
            self.close()
            self._step, self._started, self._shown = step, now, now
        if self._bar is not None:
            self._bar.update(done, total, self._amount(done, total), note)
        elif self._has_bars and now - self._started >= BAR_AFTER:
            self._open(done, total, note)
        elif not self._has_bars and now - self._shown >= LINE_EVERY:
            self._shown = now
            self._stream.write(self._line(done, total, note, now - self._started) + "\n")
            self._stream.flush()
            activity.heard()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            activity.live(shown=False)

    def _open(self, done: float, total: float | None, note: str) -> None:
        make = resolve("lavra.verbs.progress_bar:ProgressBar")
        self._bar = make(self._stream, self._step, done, total, self._amount(done, total), note)
        activity.live(shown=True)

    def _amount(self, done: float, total: float | None) -> str:
        return self._unit.show(done) + (f" of {self._unit.show(total)}" if total else "")

    def _line(self, done: float, total: float | None, note: str, seconds: float) -> str:
        parts = [f"{self._step}: {self._amount(done, total)}", f"{format_duration(seconds)} so far"]
        if total and done:
            parts.append(f"about {format_duration(seconds * (total - done) / done)} left")
        return ", ".join(parts + ([note] if note else []))


@contextmanager
def meter(unit: Unit = Unit.THINGS, stream: TextIO | None = None) -> Iterator[Meter]:
    """A `Meter` on stderr for the length of a block; its bar is removed when the block ends, even by an error."""
    shown = Meter(unit, stream or sys.stderr)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def progress_shown(wanted: bool | Progress, unit: Unit = Unit.THINGS) -> Iterator[Progress]:
    """The function that progress is reported to, for the length of a block.

    Args:
        wanted: True shows a bar, or lines without a terminal; False shows nothing; a `Progress` is called itself.
        unit: unit of the counted work.
    """
    if not isinstance(wanted, bool):
        yield wanted
    elif not wanted:
        yield silent
    else:
        with meter(unit) as shown:
            yield shown


@contextmanager
def stages_shown(stream: TextIO | None = None, *, shows: bool = True) -> Iterator[None]:
    """Print a line for each stage the pipeline starts, reuses and finishes, for the length of a block.

    Args:
        stream: stream to print to; stderr unless given.
        shows: False prints nothing.
    """
    if not shows:
        yield
        return

    def show(name: str, fields: Mapping[str, Any]) -> None:
        line = _stage_line(name, fields)
        if line:  # an open bar puts itself between: `sys.stderr` of now prints above it
            (stream or sys.stderr).write(line + "\n")
            (stream or sys.stderr).flush()
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
    note = f"; {fields['note']}" if fields.get("note") else ""
    if name == "stage.reused":
        return f"{head}: unchanged, reused{note}"
    if fields.get("skipped"):
        return f"{head}: skipped: {fields['skipped']}"
    how = "done in" if name == "stage.done" else "stopped after"
    return f"{head}: {how} {format_duration(fields['seconds'])}{note}"


def _in_notebook() -> bool:
    """Whether rich can draw in a notebook: Jupyter has loaded its kernel, and the widgets are installed."""
    return "ipykernel" in sys.modules and importlib.util.find_spec("ipywidgets") is not None
