"""Read members of zip files (books, Word files) into memory, within bounds and never written to disk.

The bounds are on the decompressed size: a member at most 64 MiB, a file at most 512 MiB, and neither over 250 times its
compressed size once it passes 16 MiB, so that a bomb is reported before it is unpacked.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lavra.text.sources.compressed import MAX_RATIO
from lavra.text.sources.reading import UnreadableError

MAX_MEMBER_BYTES = 64 << 20
MAX_TOTAL_BYTES = 512 << 20
SURE_BYTES = 16 << 20
MAX_MEMBERS = 100_000
_ENCRYPTED = 1  # bit of a member's flags


@contextmanager
def open_zip(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file whose members are within bounds.

    Args:
        path: the file.
        what: the file's format, for errors: `epub`, `docx`.

    Raises:
        UnreadableError: the file is damaged, also when that shows while its members are read, or a bomb.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UnreadableError(f"damaged {what}", str(error)) from error


def read_member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The bytes of a member; None when no member has that name.

    Raises:
        UnreadableError: the member is encrypted.
    """
    try:
        info = archive.getinfo(name)
    except KeyError:
        return None
    if info.flag_bits & _ENCRYPTED:
        raise UnreadableError("encrypted", "the zip file has a password; give it without one")
    with archive.open(info) as member:
        return member.read(MAX_MEMBER_BYTES)


def _check(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UnreadableError("too many members", f"{len(members):,}; at most {MAX_MEMBERS:,}")
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    texts = [member for member in members if member.filename.endswith(("xml", "html", "htm"))]  # films may be large
    largest = max(texts, key=lambda member: member.file_size, default=None)
    if size > MAX_TOTAL_BYTES or (size > SURE_BYTES and size > MAX_RATIO * packed):
        raise UnreadableError("expands without end", f"{packed:,} bytes would give {size:,}")
    if largest is not None and largest.file_size > MAX_MEMBER_BYTES:
        bound = f"{largest.file_size:,} bytes; at most {MAX_MEMBER_BYTES:,}"
        raise UnreadableError("expands without end", f"{largest.filename} has {bound}")
