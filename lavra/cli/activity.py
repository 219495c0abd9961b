"""Nothing is silent for long: what is being done is said on standard error when nothing else was.

A thread watches the clock.  Whoever shows something (a bar, a line, a streamed token) says that it was heard; whoever
begins something that may take a while names it.
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

SILENCE: Final = 4.0  # seconds without a sign, after which a line says what is being done
_LOOKS: Final = 0.5  # seconds between looks at the clock


class Activity:
    """What a command is doing, and when it last gave a sign."""

    def __init__(self) -> None:
        self._what = ""
        self._began = self._heard = time.monotonic()
        self._live = False

    def begin(self, what: str) -> None:
        """From now on this is being done; nothing is said of an empty one, such as waiting for the user."""
        if what == self._what:
            return
        now = time.monotonic()
        if not self._what:  # it was the user's turn
            self._heard = now
        self._what, self._began = what, now

    def heard(self) -> None:
        """Something was shown."""
        self._heard = time.monotonic()

    def live(self, shown: bool) -> None:
        """A bar that moves by itself is shown, or no longer."""
        self._live = shown
        self.heard()

    def look(self) -> None:
        """Say what is being done, if nothing was said for too long."""
        now = time.monotonic()
        if self._what and not self._live and now - self._heard >= SILENCE:
            self._heard = now
            print(f"{self._what}: {format_duration(round(now - self._began))} so far", file=sys.stderr, flush=True)


activity: Final = Activity()
"""That of this process."""


@contextmanager
def never_silent(what: str) -> Iterator[None]:
    """Watch the clock for the length of a command.

    Args:
        what: is done until a step is named.
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
