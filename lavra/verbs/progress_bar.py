"""The bar of a `Meter` on a terminal.  A module of its own, so that verbs without a bar need not import Rich."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """The progress bar of a step, shown until it is stopped.

    Args:
        stream: the terminal.
        step: name of the step.
        done: finished amount.
        total: whole amount, if known.
        amount: both amounts as text.
        note: further text to show.
    """

    def __init__(self, stream: TextIO, step: str, done: float, total: float | None, amount: str, note: str) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),  # a step may be named by a file, which is not markup
            BarColumn(bar_width=28),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=stream),
            transient=True,
        )
        self._bars.start()
        self._task: TaskID = self._bars.add_task(step, completed=int(done), total=total, amount=amount, note=note)

    def update(self, done: float, total: float | None, amount: str, note: str) -> None:
        """Show the current progress of the step."""
        self._bars.update(self._task, completed=done, total=total, amount=amount, note=note)

    def stop(self) -> None:
        """Remove the bar."""
        self._bars.stop()
