"""Whole files: atomic writes, folder hashes, sizes.

A reader never sees half an artifact: everything is written beside its destination, flushed to disk and
renamed into place (rename is atomic within a file system, POSIX `rename(2)`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lavra.base.disk import naming_full_disk


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Make a temporary folder that becomes `target` when the block ends well, and is removed when it does not.

    An existing `target` is replaced; between the two renames it is kept beside as `.old-*`, which
    `recover_folder` puts back if the process died just there.

    Raises:
        DiskFullError: the disk became full; any writer in the block may have noticed it.
    """
    with naming_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(target)
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{target.name}-", dir=target.parent))
        work.chmod(0o755)  # mkdtemp makes 0700; an artifact is readable like any other file
    try:
        with naming_full_disk(target, lambda: folder_bytes(work)):
            yield work
            for path in sorted(work.rglob("*")):
                if path.is_file():
                    _fsync(path)
            _fsync(work)
            _swap(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _swap(work: Path, target: Path) -> None:
    old = target.with_name(f".old-{target.name}")
    if target.exists():
        os.rename(target, old)
    os.rename(work, target)
    _fsync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Finish or undo a replacement of `target` that a kill interrupted, and sweep its leftovers."""
    old = target.with_name(f".old-{target.name}")
    if old.exists() and not target.exists():
        os.rename(old, target)
    shutil.rmtree(old, ignore_errors=True)
    for stale in target.parent.glob(f".tmp-{target.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically.

    Raises:
        DiskFullError: the disk is full; an older file at the path is still there.
    """
    with naming_full_disk(path):
        _write_text(path, text)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".tmp-{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically, with sorted keys so that equal values are equal files."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def hash_json(value: Any) -> str:
    """16 hex digits that depend on the value alone, not on the order of its keys."""
    return hash_text(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def hash_text(text: str) -> str:
    """16 hex digits of a text's sha256, as `hash_file` of a file with nothing else in it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """16 hex digits of a file's sha256, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def folder_bytes(folder: Path) -> int:
    """Total size of the files below a folder, in bytes; of a file its own."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
