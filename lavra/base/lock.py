"""Let one writer in at a time: a lock file that is released when its process ends, for any reason (`flock(2)`).

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
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # errors of a file system without locks

logger = logging.getLogger(__name__)


@contextmanager
def locked(target: Path, *, wait: bool = False, remedy: str = "name another folder") -> Iterator[None]:
    """Lock a path for the length of a block, so that only this process writes to it.

    Args:
        target: a folder or a file, existing or not; the lock is `.NAME.lock` beside it.
        wait: wait for another process that holds the lock, instead of raising an error.
        remedy: another step for the user, for the message.

    Raises:
        InputError: another process holds the lock, and `wait` is False.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(target.parent / f".{target.name}.lock", target, wait=wait, remedy=remedy):
        yield


@contextmanager
def locked_file(path: Path, target: Path, *, wait: bool, remedy: str) -> Iterator[None]:
    """Do the same as `locked` with a given lock file, and remove the file at the end.

    Args:
        path: path of the lock file.
        target: path to be written, for the message.
        wait: as in `locked`.
        remedy: as in `locked`.
    """
    with naming_full_disk(target):
        file = _hold(path, target, wait=wait, remedy=remedy)
    try:
        with naming_full_disk(target):
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: a process that opened it meanwhile sees that it is gone
        os.close(file)


def _hold(path: Path, target: Path, *, wait: bool, remedy: str) -> int:
    logged = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if _take(file, target) and _is_still(path, file):
            return file
        holder = _holder(file)
        os.close(file)
        if holder is None:  # it was released between the two calls
            continue
        if not wait:
            raise InputError(
                f"another lavra (process {holder}) is writing to {target}; wait for it to end (`wait` does that), or "
                f"{remedy}"
            )
        if not logged:
            logger.warning("waiting for another lavra (process %s), which is writing to %s", holder, target)
            logged = True
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
    """Whether the path still is this file: the process that held it before removes it at the end."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _holder(file: int) -> str | None:
    """The process that holds the file; None where it is free by now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 32, 0).decode() or "unknown"
    return None
