"""A sign of life: a line on standard error names the current step when nothing else was printed for a while.

A thread watches the clock.  Code that prints something (a bar, a line, a streamed token) calls `heard`; code that
begins a long step names it with `begin`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lavra.base.units import format_duration

SILENCE: Final = 4.0  # seconds without a sign, after which a line names the current step
_LOOKS: Final = 0.5  # seconds between looks at the clock


class Activity:
    """The current step of a command, and the time of its last sign."""

    def __init__(self) -> None:
        self._what = ""
        self._began = self._heard = time.monotonic()
        self._live = False

    def begin(self, what: str) -> None:
        """Set the current step; an empty name, such as while waiting for the user, prints nothing."""
        if what == self._what:
            return
        now = time.monotonic()
        if not self._what:  # it was the user's turn
            self._heard = now
        self._what, self._began = what, now

    def heard(self) -> None:
        """Record that something was printed."""
        self._heard = time.monotonic()

    def live(self, shown: bool) -> None:
        """Record whether a bar that moves by itself is shown."""
        self._live = shown
        self.heard()

    def look(self) -> None:
        """Print the current step, if nothing was printed for too long."""
        now = time.monotonic()
        if self._what and not self._live and now - self._heard >= SILENCE:
            self._heard = now
            sys.stderr.write(f"{self._what}: {format_duration(round(now - self._began))} so far\n")
            sys.stderr.flush()


activity: Final = Activity()
"""The activity of this process."""


@contextmanager
def report_long_silence(what: str) -> Iterator[None]:
    """Watch the clock for the length of a command.

    Args:
        what: name of the work until a step is named.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOKS):
            activity.look()

    activity.begin(what)
    is_main = os.environ.get("RANK", "0") == "0"  # of the processes that train together one speaks
    watcher = threading.Thread(target=watch, name="activity", daemon=True)
    if is_main:
        watcher.start()
    try:
        yield
    finally:
        ended.set()
        if is_main:
            watcher.join()
        activity.begin("")
