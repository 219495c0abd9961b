"""One writer at a time: a lock file that goes with its process, however that dies (`flock(2)`).

A file left by a process that was killed is not locked, so it is never in the way.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lavra.base.disk import naming_full_disk
from lavra.base.errors import InputError

_ASKED_EVERY: Final = 0.2  # seconds
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # of a file system that has none

logger = logging.getLogger(__name__)


@contextmanager
def locked(target: Path, *, wait: bool = False, remedy: str = "name another folder") -> Iterator[None]:
    """Be the only process that writes to a path, for the length of a block.

    Args:
        target: a folder or a file, there or not; the lock is `.NAME.lock` beside it.
        wait: wait for another process that holds it, instead of an error.
        remedy: what else the user can do, for the message.

    Raises:
        InputError: another process holds it, and `wait` is False.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(target.parent / f".{target.name}.lock", target, wait=wait, remedy=remedy):
        yield


@contextmanager
def locked_file(path: Path, target: Path, *, wait: bool, remedy: str) -> Iterator[None]:
    """The same with the lock file named; it is removed at the end.

    Args:
        path: of the lock file.
        target: what is written to, for the message.
        wait: as of `locked`.
        remedy: as of `locked`.
    """
    with naming_full_disk(target):
        file = _hold(path, target, wait=wait, remedy=remedy)
    try:
        with naming_full_disk(target):
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile sees that it is gone
        os.close(file)


def _hold(path: Path, target: Path, *, wait: bool, remedy: str) -> int:
    said = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if _take(file, target) and _is_still(path, file):
            return file
        holder = _holder(file)
        os.close(file)
        if holder is None:  # it was let go between the two calls
            continue
        if not wait:
            raise InputError(
                f"another lavra (process {holder}) is writing to {target}; wait for it to end (`wait` does that), or "
                f"{remedy}"
            )
        if not said:
            logger.warning("waiting for another lavra (process %s), which is writing to %s", holder, target)
            said = True
        time.sleep(_ASKED_EVERY)


def _take(file: int, target: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s is on a file system without locks; see that no other lavra writes to it", target)
    return True


def _is_still(path: Path, file: int) -> bool:
    """Whether the path is this file: the one who held it before removes it at the end."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _holder(file: int) -> str | None:
    """The process that holds the file; None where nobody does by now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 32, 0).decode() or "unknown"
    return None
