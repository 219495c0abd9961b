"""Sources of documents: a file, a folder, or values in memory.

A `Source` is a name, a generator of documents and a fingerprint.  A second reading gives the same documents in the same
order with the same ids.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.files import hash_json
from lavra.base.types import Document
from lavra.text.encoding import valid_unicode
from lavra.text.sources.compressed import BombError
from lavra.text.sources.kinds import NotText, as_file, is_named_otherwise, reader_for, unreadable_type_error
from lavra.text.sources.reading import File, ReadConfig, UnreadableError
from lavra.text.sources.walk import Walk
from lavra.text.tally import Tally

# A compressed file that ends early, or is not compressed at all, raises one of these in the middle of reading.
_DAMAGED = (EOFError, zlib.error)
_TROUBLES = (UnreadableError, BombError, MissingDependencyError, OSError, *_DAMAGED)
_Item = TypeVar("_Item")


class Source(Protocol):
    """A source of documents."""

    @property
    def name(self) -> str:
        """The source's name for users."""
        ...

    def documents(self, config: ReadConfig, tally: Tally) -> Iterator[Document]:
        """The source's documents, always in the same order; skipped files and repairs go to `tally`."""
        ...

    def fingerprint(self) -> str:
        """16 hex digits that change when the source changes."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """A single file, which must be readable: any failure to read it is an error.

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
        if isinstance(file, NotText):
            raise unreadable_type_error(self.path, file)
        try:
            yield from accounted(file, _documents_of(file, config, tally), tally)
        except MissingDependencyError:
            raise
        except _TROUBLES as error:
            reason, detail = _why(error, file)
            raise InputError(f"{self.path} cannot be read: {reason}{f' ({detail})' if detail else ''}") from error

    def fingerprint(self) -> str:
        """16 hex digits that depend on the file's name, size and time of change."""
        return hash_json([_stamp(self.path, self.name)])


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder of files of any known kinds; other files are skipped and counted.

    Attributes:
        path: the folder.
        label: name of the folder in the documents' sources; its own name when empty.
        exclude_folders: names of folders that are not entered.
        exclude_files: files left out, relative to the folder, with `/`.
        only: extensions to read; all known extensions when empty.
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
            yield from read_or_skip(file, _documents_of(file, config, tally), tally)

    def files(self, tally: Tally) -> Iterator[File]:
        """The files with a reader, in sorted order; the other files are counted."""
        walk = Walk(root=self.path, name=self.name, tally=tally, exclude=self.exclude_folders)
        for path, source in walk.files():
            file = as_file(path, source)
            if source.removeprefix(f"{self.name}/") in self.exclude_files:
                tally.skip_file(source, "excluded file")
            elif isinstance(file, NotText):
                tally.skip_file(source, file.reason, file.remedy)
            elif self.only and file.extension not in self.only:
                tally.skip_file(source, "other type", path.suffix)
            else:
                yield file

    def fingerprint(self) -> str:
        """16 hex digits that depend on the name, size and time of change of every file that would be read."""
        return hash_json([self.name, *(_stamp(file.path, file.source) for file in self.files(Tally()))])


@dataclass(frozen=True, kw_only=True)
class MemorySource:
    """Documents already in memory.

    Attributes:
        name: the source's name for users.
        given: the documents.
    """

    name: str
    given: Sequence[Document]

    def documents(self, config: ReadConfig, tally: Tally) -> Iterator[Document]:
        """The documents as given, except that lone surrogates are replaced and counted."""
        tally.open_file()
        for document in self.given:
            text = valid_unicode(document.text)
            tally.encoding_issues.update({"lone surrogates replaced": 1} if text != document.text else {})
            tally.documents_read += 1
            tally.bytes_read += len(text.encode())
            yield replace(document, text=text)
        tally.close_file(self.name, "memory")

    def fingerprint(self) -> str:
        """16 hex digits that depend on the documents' ids and texts."""
        return hash_json([self.name, *([each.id, valid_unicode(each.text)] for each in self.given)])


def as_source(given: Source | Path | str) -> Source:
    """Make a source from a user's value: a source, or the path of a file or folder.

    Raises:
        InputError: there is nothing at that path.
    """
    if not isinstance(given, (str, Path)):
        return given
    path = Path(given).expanduser()
    if path.is_dir():
        return FolderSource(path=path)
    if path.exists():
        return FileSource(path=path)
    raise InputError(f"{path} does not exist; name a folder or a file of text")


def accounted(file: File, read: Iterator[_Item], tally: Tally) -> Iterator[_Item]:
    """The items read from a file; adds the file's account to the tally, also when reading ends with an error.

    Args:
        file: the file.
        read: the items made of the file; their maker counts each item among the tally's documents.
        tally: gets the account.

    Raises:
        UnreadableError: the file gave no item, or its reader raises it.
    """
    tally.open_file()
    before, rows = _state(file.path), tally.rows_skipped.copy()
    try:
        yield from read
        if not tally.file_documents:
            raise UnreadableError("no text in it", _counted(tally.rows_skipped - rows))
    except _TROUBLES:
        tally.files_read += tally.file_documents > 0
        tally.files_in_part += tally.file_documents > 0
        tally.close_file(file.source, file.reader)
        raise
    if _state(file.path) != before:
        tally.file_issues["changed while it was read"] += 1
    if is_named_otherwise(file):
        tally.file_issues[f"named {file.extension}, read as {file.reader}"] += 1
    tally.close_file(file.source, file.reader)
    tally.files_read += 1


def read_or_skip(file: File, read: Iterator[_Item], tally: Tally) -> Iterator[_Item]:
    """As `accounted`; a file that cannot be read (to its end) is counted as skipped, with its name and the reason."""
    try:
        yield from accounted(file, read, tally)
    except _TROUBLES as error:
        reason, detail = _why(error, file)
        done = tally.file_documents
        tally.skip_file(file.source, reason, f"{detail} after {done} documents".strip() if done else detail)


def _documents_of(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    yield from reader_for(file)(file, config, tally)


def _why(error: Exception, file: File) -> tuple[str, str]:
    """A phrase to count by and the particulars of an error."""
    match error:
        case UnreadableError():
            return error.reason, error.detail
        case BombError():
            return "expands without end", str(error)
        case MissingDependencyError():
            return "a package is missing", str(error)
        case PermissionError():
            return "permission denied", ""
        case FileNotFoundError():
            return "vanished before it was read", ""
        case EOFError() | zlib.error() | OSError(errno=None):
            return f"damaged {file.compression or file.reader}", str(error)
    return "unreadable", str(error)


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason}: {number:,}" for reason, number in reasons.most_common(3))


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None when the file is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _stamp(path: Path, source: str) -> list[str | int]:
    return [source, *(_state(path) or ())]
