"""Ctrl-C in training: the step that is under way ends, a checkpoint is saved, and then the run stops.

Without this a run would lose the steps since its last checkpoint.  A second Ctrl-C stops at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SAVING: Final = b"\nlavra: saving a checkpoint after this step; press Ctrl-C again to stop without it\n"
SAME_PRESS: Final = 1.0
"""Seconds: one Ctrl-C in a terminal comes twice to a process of `torchrun`, which also hands on its own signal."""


@contextmanager
def interrupts_wait(enabled: bool) -> Iterator[Callable[[], bool]]:
    """A block in which a first SIGINT is written down and a second one raises `KeyboardInterrupt`.

    Args:
        enabled: False leaves interrupts as they are; there is nothing to save to.

    Yields:
        A function that returns whether an interrupt has come.
    """
    # Only the main thread gets signals.  A program with a handler of its own keeps that handler.
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not (enabled and usual and threading.current_thread() is threading.main_thread()):
        yield lambda: False
        return
    came: list[float] = []

    def write_down(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if came and now - came[0] > SAME_PRESS:
            raise KeyboardInterrupt
        if not came:
            os.write(2, SAVING)  # a print fails where the signal came in the middle of another one
            came.append(now)

    signal.signal(signal.SIGINT, write_down)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
