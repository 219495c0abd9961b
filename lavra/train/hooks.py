"""Hooks that watch a run: JSON lines on disk, TensorBoard, and a wrapped callback.

A hook never changes the run; the loop keeps early stopping to itself, because it is part of the result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lavra.base.disk import naming_full_disk
from lavra.base.errors import MissingDependencyError


class JsonlHook:
    """Appends every step and evaluation to a file, a line each.

    A resumed run appends the steps it does again, and readers let the last line of a step win (`read_metrics`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and not _ends_with_newline(path)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        if torn:  # a kill in the middle of a line: the next one must not be glued to it
            self._file.write("\n")

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line."""
        self._write({"step": step, **metrics})

    def on_eval(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Write one line, marked by its keys."""
        self._write({"step": step, **{f"eval_{name}": value for name, value in metrics.items()}})
        return False

    def on_save(self, step: int, folder: str) -> None:
        """Do nothing."""

    def on_end(self, summary: Mapping[str, Any]) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        with naming_full_disk(self._path):
            self._file.write(json.dumps(row) + "\n")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        return file.read() in (b"", b"\n")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows a `JsonlHook` wrote, by step; of rows written again after a resume the last wins.

    A line torn by a kill is left out: the resumed run wrote that step again.
    """
    rows: dict[tuple[int, bool], dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["step"], any(name.startswith("eval_") for name in row)] = row
    return [rows[key] for key in sorted(rows)]


class TensorBoardHook:
    """Writes scalars for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional package
        except ImportError as error:
            raise MissingDependencyError("tensorboard", "writing TensorBoard logs", "tensorboard") from error
        self._writer = SummaryWriter(str(folder))

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write scalars under `train/`."""
        self._scalars("train", step, metrics)

    def on_eval(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Write scalars under `eval/`."""
        self._scalars("eval", step, metrics)
        return False

    def on_save(self, step: int, folder: str) -> None:
        """Do nothing."""

    def on_end(self, summary: Mapping[str, Any]) -> None:
        """Flush and close."""
        self._writer.close()

    def _scalars(self, group: str, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)


class CallbackHook:
    """Calls a function at every step with the step and its metrics; progress bars are made of it."""

    def __init__(self, callback: Callable[[int, Mapping[str, float]], None]) -> None:
        self._callback = callback

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Call the function."""
        self._callback(step, metrics)

    def on_eval(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Call the function with the metrics named `eval_…`."""
        self._callback(step, {f"eval_{name}": value for name, value in metrics.items()})
        return False

    def on_save(self, step: int, folder: str) -> None:
        """Do nothing."""

    def on_end(self, summary: Mapping[str, Any]) -> None:
        """Do nothing."""
