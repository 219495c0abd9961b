"""Where documents come from: a file, a folder, or values already in memory.

A `Source` is a name, a generator of documents and a fingerprint.  Reading twice gives the same documents in the same
order with the same ids.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.base.types import Document
from lavra.text.encoding import valid_unicode
from lavra.text.sources.kinds import as_file, reader_for, unknown_type_error
from lavra.text.sources.reading import File, ReadConfig, UnreadableError
from lavra.text.sources.walk import Walk
from lavra.text.tally import Tally

# A gzip file that ends early or is not gzip at all shows as one of these, in the middle of reading.
_DAMAGED = (EOFError, zlib.error)


class Source(Protocol):
    """Somewhere documents come from."""

    @property
    def name(self) -> str:
        """What a user would call it."""
        ...

    def documents(self, config: ReadConfig, tally: Tally) -> Iterator[Document]:
        """Its documents, always in the same order; what is skipped or repaired goes to `tally`."""
        ...

    def fingerprint(self) -> str:
        """16 hex digits that change when the source does."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """One file, which must be readable: whatever stops its reading is an error.

    Attributes:
        path: the file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.name

    def documents(self, config: ReadConfig, tally: Tally) -> Iterator[Document]:
        """The file's documents.

        Raises:
            InputError: the file's type is unknown, or it cannot be read (to its end).
        """
        file = as_file(self.path, self.name)
        if file is None:
            raise unknown_type_error(self.path)
        try:
            yield from reader_for(file)(file, config, tally)
        except (UnreadableError, OSError, *_DAMAGED) as error:
            reason, detail = _why(error)
            raise InputError(f"{self.path} cannot be read: {reason}{f' ({detail})' if detail else ''}") from error
        tally.files_read += 1

    def fingerprint(self) -> str:
        """Depends on the file's name, size and time of change."""
        return hash_json([_stamp(self.path, self.name)])


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder of files of any known kinds; the others are skipped and counted.

    Attributes:
        path: the folder.
        label: what to call it in the documents' sources; its own name when empty.
        exclude_folders: names of folders not to enter.
        exclude_files: files left out, relative to the folder, with `/`.
        only: extensions to read; all known ones when empty.
    """

    path: Path
    label: str = ""
    exclude_folders: frozenset[str] = frozenset()
    exclude_files: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The label, or the folder's own name."""
        return self.label or self.path.resolve().name or "root"

    def documents(self, config: ReadConfig, tally: Tally) -> Iterator[Document]:
        """The documents of all files, in sorted order."""
        for file in self.files(tally):
            yield from _read_or_count(file, config, tally)

    def files(self, tally: Tally) -> Iterator[File]:
        """The files with a reader, in sorted order; the others are counted."""
        walk = Walk(root=self.path, name=self.name, tally=tally, exclude=self.exclude_folders)
        for path, source in walk.files():
            file = as_file(path, source)
            if source.removeprefix(f"{self.name}/") in self.exclude_files:
                tally.skip_file(source, "excluded file")
            elif file is None or (self.only and file.extension not in self.only):
                tally.skip_file(source, "unknown type" if file is None else "other type", path.suffix)
            else:
                yield file

    def fingerprint(self) -> str:
        """Depends on the name, size and time of change of every file that would be read."""
        return hash_json([self.name, *(_stamp(file.path, file.source) for file in self.files(Tally()))])


@dataclass(frozen=True, kw_only=True)
class MemorySource:
    """Documents already in memory.

    Attributes:
        name: what to call them.
        given: the documents.
    """

    name: str
    given: Sequence[Document]

    def documents(self, config: ReadConfig, tally: Tally) -> Iterator[Document]:
        """The documents as given, but for lone surrogates, which are replaced and counted."""
        for document in self.given:
            text = valid_unicode(document.text)
            tally.encoding_troubles.update({"lone surrogates replaced": 1} if text != document.text else {})
            tally.documents_read += 1
            tally.bytes_read += len(text.encode())
            yield replace(document, text=text)

    def fingerprint(self) -> str:
        """Depends on the documents' ids and texts."""
        return hash_json([self.name, *([each.id, valid_unicode(each.text)] for each in self.given)])


def as_source(given: Source | Path | str) -> Source:
    """A source from what a user may give: a source, or the path of a file or folder.

    Raises:
        InputError: nothing is at that path.
    """
    if not isinstance(given, (str, Path)):
        return given
    path = Path(given).expanduser()
    if path.is_dir():
        return FolderSource(path=path)
    if path.exists():
        return FileSource(path=path)
    raise InputError(f"{path} does not exist; name a folder or a file of text")


def _read_or_count(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a file in a folder; if it cannot be read (to its end) it is counted."""
    before = tally.documents_read
    try:
        yield from reader_for(file)(file, config, tally)
    except (UnreadableError, OSError, *_DAMAGED) as error:
        reason, detail = _why(error)
        read = tally.documents_read - before
        tally.skip_file(file.source, reason, f"{detail} after {read} documents".strip() if read else detail)
        return
    tally.files_read += 1


def _why(error: Exception) -> tuple[str, str]:
    """A phrase to count by and the particulars."""
    if isinstance(error, UnreadableError):
        return error.reason, error.detail
    if isinstance(error, PermissionError):
        return "permission denied", ""
    if isinstance(error, (*_DAMAGED, OSError)) and getattr(error, "errno", None) is None:
        return "damaged gzip", str(error)
    return "unreadable", str(error)


def _stamp(path: Path, source: str) -> list[str | int]:
    status = path.stat()
    return [source, status.st_size, status.st_mtime_ns]
