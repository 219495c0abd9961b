"""Hold generations that are being read: a reader holds the generation it opened, and a held generation is not removed.

A hold is a shared lock (`flock(2)`) on a file in the generation's folder; it ends with its process, however that dies.
Where a file system has no locks, every older generation counts as held and nothing is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PARTS: Final = "parts"
_HELD: Final = "held"


def generation_folder(folder: Path, generation: int) -> Path:
    """The folder of a generation's files."""
    return folder / PARTS / str(generation)


def make_holdable(folder: Path, generation: int) -> None:
    """Make the file that readers of a generation lock."""
    place = generation_folder(folder, generation)
    place.mkdir(parents=True, exist_ok=True)
    (place / _HELD).touch()


class Hold:
    """A generation that a reader keeps from being removed.

    Args:
        file: the locked file.
    """

    def __init__(self, file: int) -> None:
        self._file: int | None = file

    def release(self) -> None:
        """Release the hold; a second call does no harm."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def hold(folder: Path, generation: int) -> Hold | None:
    """Hold a generation; `None` where it has been removed."""
    path = generation_folder(folder, generation) / _HELD
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        _lock(file, fcntl.LOCK_SH)
        if os.path.samestat(path.stat(), os.fstat(file)):
            return Hold(file)
    except FileNotFoundError:
        pass
    os.close(file)
    return None


@contextmanager
def when_unheld(folder: Path, generation: int) -> Iterator[bool]:
    """Whether a generation has no reader; if so, none can open it within the block."""
    path = generation_folder(folder, generation) / _HELD
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # half made, so it was never published
        yield True
        return
    try:
        yield _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(file)


def _lock(file: int, how: int) -> bool:
    """Try to lock a file; whether that succeeded.  A file system without locks gives none."""
    try:
        fcntl.flock(file, how)
    except OSError:
        return False
    return True


def generations_on_disk(folder: Path) -> list[int]:
    """The generations that have a folder, in order."""
    places = (folder / PARTS).glob("*") if (folder / PARTS).is_dir() else ()
    return sorted(int(place.name) for place in places if place.name.isdecimal())
