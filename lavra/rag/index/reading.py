"""Read files into documents of the database: the first part of an update.

A file whose size and time are those of the last update is not opened; a file with the same bytes is not parsed.
Documents that a killed update read stay: documents are committed every few seconds, and a file is ticked off with its
last document.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lavra.base.convert import to_mapping
from lavra.base.errors import InputError
from lavra.base.files import hash_file, hash_json
from lavra.base.ports import Progress
from lavra.base.retrieval import ACCESS, EVERYONE, MetaValue
from lavra.rag.index.access import ACCESS_FILE, AccessRule, NoAccessError, groups_of, read_access_file
from lavra.rag.index.config import DOCUMENT, IndexConfig
from lavra.rag.index.documents import Chunking, GenerationWriter
from lavra.rag.index.report import SkippedFile
from lavra.text.moment import iso_time
from lavra.text.sources.source import FileSource, FolderSource, Source
from lavra.text.tally import Tally
from lavra.text.whole import WholeText
from lavra.text.wholes.read import SourceFile, list_files, read_file

READING_VERSION: Final = 1
"""The version of reading, raised by hand when readers give other documents for the same bytes."""

_COMMIT_SECONDS: Final = 5.0
_COMMIT_DOCUMENTS: Final = 500
_RACY_NS: Final = 2_000_000_000  # a file that changed this shortly before the look at it may change again unnoticed
_RETRIED: Final = frozenset({"a package is missing", "vanished before it was read"})


@dataclass(kw_only=True)
class FilesRead:
    """The result of reading.

    Attributes:
        skipped: the files and rows that were not read, and the reasons.
        issues: parts of files that were mended or left out, by reason.
        warnings: unexpected events, a sentence each.
    """

    skipped: list[SkippedFile] = field(default_factory=list)
    issues: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


class SourceReader:
    """A reader that brings the documents of the database up to date with the files.

    Args:
        connection: the writer's connection.
        config: settings of the index.
        chunking: the way documents become chunks.
        generation: number of the generation being made.
        progress: shows how far it is.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        config: IndexConfig,
        chunking: Chunking,
        generation: int,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._config = config
        self._chunking = chunking
        self._writer = GenerationWriter(connection, generation, chunking)
        self._progress = progress
        self._found = FilesRead()
        self._rules: list[AccessRule] = []
        self._since = (0, time.monotonic())  # documents since the last commit, and when that was

    def read(self, sources: Sequence[Source]) -> FilesRead:
        """Read changed files, and retire documents whose files are gone.

        Raises:
            InputError: two sources have the same name, or a source's access rules cannot be understood.
        """
        self._rules = [*self._folder_rules(sources), *self._config.access]
        files = [(source, file) for source in sources for file in self._list(source)]
        self._warn_of_idle_rules([file.name for _, file in files])
        with self._committed():
            for number, (source, file) in enumerate(files):
                self._progress("read", number, len(files), file.name)
                self._bring(source, file)
            self._retire_others({file.name for _, file in files})
            self._connection.execute("DELETE FROM sources")
            self._connection.executemany(
                "INSERT INTO sources VALUES (?, ?)", [(one.name, _path(one)) for one in sources]
            )
        return self._found

    # ---- which files ------------------------------------------------------------------------------------------

    def _folder_rules(self, sources: Sequence[Source]) -> Iterator[AccessRule]:
        names: set[str] = set()
        for source in sources:
            if source.name in names:
                raise InputError(
                    f"two sources are called {source.name!r}; index the folder that holds both, or rename one"
                )
            names.add(source.name)
            if isinstance(source, FolderSource):
                yield from read_access_file(source.path, source.name)

    def _list(self, source: Source) -> list[SourceFile]:
        if not isinstance(source, FileSource | FolderSource):
            raise InputError(f"{source.name} is neither a file nor a folder; write its documents to files")
        tally = Tally(on_skip=lambda name, reason, detail: self._found.skipped.append(_skipped(name, reason, detail)))
        found = list_files(source, tally)
        return [file for file in found if file.path.name != ACCESS_FILE]

    def _warn_of_idle_rules(self, files: Sequence[str]) -> None:
        for rule in self._rules:
            if not any(rule.fits(name) for name in files):
                self._found.warnings.append(
                    f"the access rule {rule.pattern!r} fits no file that was indexed; if it should, mend it"
                )

    def _retire_others(self, names: set[str]) -> None:
        known = "SELECT name FROM files UNION SELECT file FROM documents WHERE died IS NULL"
        gone = [name for (name,) in self._connection.execute(known).fetchall() if name not in names]
        for name in gone:
            self._forget(name)

    def _forget(self, file: str) -> None:
        for number, _ in self._writer.alive_in(file).values():
            self._writer.retire(number)
        self._connection.execute("DELETE FROM files WHERE name = ?", (file,))

    # ---- one file ---------------------------------------------------------------------------------------------

    def _bring(self, source: Source, file: SourceFile) -> None:
        reading, looked = self._reading(file), time.time_ns()
        known = self._connection.execute(
            "SELECT size, modified_ns, read_ns, hash, skipped, issues FROM files WHERE name = ? AND reading = ?",
            (file.name, reading),
        ).fetchone()
        if known is not None and _is_untouched(file, *known[:3]):
            self._recall(known[4], known[5])
            return
        try:
            digest = hash_file(file.path)
        except OSError as error:
            self._found.skipped.append(_skipped(file.name, "unreadable", str(error.strerror)))
            self._forget(file.name)
            return
        if known is not None and known[3] == digest:
            self._recall(known[4], known[5])
            self._restamp(file, known[1])
            row = (file.size, file.modified_ns, looked, str(file.path), file.name)
            self._connection.execute(
                "UPDATE files SET size = ?, modified_ns = ?, read_ns = ?, path = ? WHERE name = ?", row
            )
            return
        self._parse(source, file, (reading, looked, digest))

    def _restamp(self, file: SourceFile, before_ns: int) -> None:
        old, new = (iso_time(nanoseconds / 1e9) for nanoseconds in (before_ns, file.modified_ns))
        if old != new:
            self._writer.restamp(file.name, old, new)

    def _reading(self, file: SourceFile) -> str:
        """The hash of everything except its bytes that decides a file's documents."""
        ruled = [rule.groups for rule in self._rules if rule.fits(file.name)][-1:]
        config = self._config
        return hash_json([READING_VERSION, to_mapping(config.read), self._chunking.key, dict(config.meta), ruled])

    def _recall(self, skipped: str, issues: str) -> None:
        """Report again the warnings and issues from when the file was read."""
        self._found.skipped += [_skipped(*one) for one in json.loads(skipped)]
        self._found.issues.update(json.loads(issues))

    def _parse(self, source: Source, file: SourceFile, stamp: tuple[str, int, str]) -> None:
        skipped: list[list[str]] = []
        tally = Tally(on_skip=lambda name, reason, detail: skipped.append([name, reason, detail]))
        self._connection.execute("DELETE FROM files WHERE name = ?", (file.name,))  # until its last document is in
        before = self._writer.alive_in(file.name)
        seen: set[str] = set()
        for whole in read_file(file, self._config.read, tally):
            self._take(whole, file.name, before, seen, tally)
        for name, (number, _) in before.items():
            if name not in seen:
                self._writer.retire(number)
        issues = tally.file_issues + tally.encoding_issues
        if tally.file_documents:  # of a file that gave none, the reason says what its rows lacked
            issues += tally.rows_skipped
        self._found.skipped += [_skipped(*one) for one in skipped]
        self._found.issues.update(issues)
        if any(reason in _RETRIED for _, reason, _ in skipped) or _changed(file):
            return  # the file is read again next time
        reading, looked, digest = stamp
        values = (file.name, source.name, str(file.path), file.size, file.modified_ns, looked, digest, reading)
        self._connection.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, json.dumps(skipped, ensure_ascii=False), json.dumps(issues, ensure_ascii=False)),
        )

    def _take(
        self, whole: WholeText, file: str, before: dict[str, tuple[int, str]], seen: set[str], tally: Tally
    ) -> None:
        """Write a document, unless the same one is there."""
        try:
            meta = self._meta(whole, file)
            key = self._writer.key(whole, meta)
        except NoAccessError as error:
            tally.skip_file(whole.name, "access is unclear", str(error))
            return
        except InputError as error:
            tally.skip_file(whole.name, "unusable facts", str(error))
            return
        if not self._has_own_name(whole.name, file, seen):
            tally.skip_file(whole.name, "another document has its name", "rename one of the two")
            return
        seen.add(whole.name)
        if whole.name in before:
            number, old = before[whole.name]
            if old == key:
                return
            self._writer.retire(number)
        self._writer.add(whole, file, meta, key)
        self._tick()

    def _has_own_name(self, name: str, file: str, seen: set[str]) -> bool:
        other = self._connection.execute(
            "SELECT file FROM documents WHERE name = ? AND died IS NULL", (name,)
        ).fetchone()
        return name not in seen and (other is None or other[0] == file)

    def _meta(self, whole: WholeText, file: str) -> dict[str, MetaValue]:
        groups = groups_of(file, whole.meta, self._rules)
        facts = {**whole.meta, **self._config.meta, DOCUMENT: whole.name, ACCESS: groups or (EVERYONE,)}
        return {name: value for name, value in facts.items() if value not in ("", ())}

    # ---- commits ----------------------------------------------------------------------------------------------

    @contextmanager
    def _committed(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _tick(self) -> None:
        """Commit every now and then."""
        number, since = self._since
        if number + 1 < _COMMIT_DOCUMENTS and time.monotonic() - since < _COMMIT_SECONDS:
            self._since = (number + 1, since)
            return
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        self._since = (0, time.monotonic())


def _skipped(name: str, reason: str, detail: str) -> SkippedFile:
    return SkippedFile(name=name, reason=reason, detail=detail)


def _is_untouched(file: SourceFile, size: int, modified_ns: int, read_ns: int) -> bool:
    """Whether a file is unchanged since the last look at it; a time close to that look proves nothing."""
    return (file.size, file.modified_ns) == (size, modified_ns) and modified_ns < read_ns - _RACY_NS


def _changed(file: SourceFile) -> bool:
    """Whether a file changed since it was listed."""
    try:
        status = file.path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns)


def _path(source: Source) -> str:
    path = source.path if isinstance(source, FileSource | FolderSource) else Path(source.name)
    return str(path.absolute())
