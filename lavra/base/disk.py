"""Room on a disk: checked before long work, and named when it runs out.

Writers differ in how they report a full disk: Python by an errno, NumPy by a count of items, the Rust libraries
(safetensors, tokenizers) by their text alone.  `naming_full_disk` makes one error of all of them, with the path, the
bytes needed and the bytes free.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lavra.base.errors import DiskFullError
from lavra.base.units import format_size

_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not be as large here",
}
_NUMPY: Final = ("requested and", "written")  # words in the errors of ndarray.tofile


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of a path, which need not exist yet."""
    places = (path.absolute(), *path.absolute().parents)
    found = os.statvfs(next(place for place in places if place.exists()))
    return found.f_bavail * found.f_frsize


def require_room(path: Path, needed: int, purpose: str) -> None:
    """Refuse work whose result does not fit on the disk.

    Args:
        path: path of the result.
        needed: bytes of the result.
        purpose: name of the result, for the message ("a checkpoint").

    Raises:
        DiskFullError: fewer bytes than `needed` are free.
    """
    if free_bytes(path) < needed:
        needs = f"{purpose} needs {format_size(needed)}"
        raise DiskFullError(full_disk_message(path, _REASONS[errno.ENOSPC], needs), needs)


def full_disk_reason(error: BaseException) -> str | None:
    """The reason, in words, when an error means a full disk; None for any other error."""
    if isinstance(error, DiskFullError):
        return _REASONS[errno.ENOSPC] if error.__cause__ is None else full_disk_reason(error.__cause__)
    number = error.errno if isinstance(error, OSError) else None
    if number in _REASONS:
        return _REASONS[number]
    text = str(error)
    if all(part in text for part in _NUMPY):
        return _REASONS[errno.ENOSPC]
    signs = {code: (f"os error {code})", f"code: {code},", os.strerror(code)) for code in _REASONS}
    return next((_REASONS[code] for code, of_code in signs.items() if any(sign in text for sign in of_code)), None)


@contextmanager
def naming_full_disk(path: Path, written: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Turn any error that a full disk raises in a block into an error that names the path and the free room.

    Args:
        path: path of the file or folder, as the user knows it.
        written: bytes written so far, which will be free again.

    Raises:
        DiskFullError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        reason = full_disk_reason(error)
        if reason is None:
            raise
        done = written()
        known = error.needs if isinstance(error, DiskFullError) else ""
        needs = known or (f"more than {format_size(done)} are needed" if done else "")
        raise DiskFullError(full_disk_message(path, reason, needs, done), known) from error


def full_disk_message(path: Path, reason: str, needs: str = "", written: int = 0) -> str:
    """Return a line with the path, the reason, the bytes needed and free, and the user's next step.

    Args:
        path: path of the file or folder.
        reason: reason from `full_disk_reason`.
        needs: room that is needed, where that is known.
        written: bytes that will be free again.
    """
    free = format_size(free_bytes(path) + written)
    return f"{path}: {reason}: {needs or 'more is needed'}, {free} are free; free some space, or write to another disk"
