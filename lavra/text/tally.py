"""Counts of the text that was read, repaired, skipped and dropped: the base of every honest report.

One `Tally` accompanies a corpus while it is built.  Readers, normaliser, filters and deduplication each add to it;
nothing is dropped, repaired or skipped without a line here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SkipListener = Callable[[str, str, str], None]  # source, reason, detail


@dataclass(frozen=True, kw_only=True)
class FileRead:
    """A file that gave text.

    Attributes:
        source: its name in reports.
        reader: name of its reader: `plain`, `pdf` ….
        num_documents: number of documents made of it.
        num_bytes: their size as UTF-8.
        facts: facts that the file states about itself: `title`, `language`.
    """

    source: str
    reader: str
    num_documents: int
    num_bytes: int
    facts: Mapping[str, str]


ReadListener = Callable[[FileRead], None]


@dataclass(kw_only=True)
class Tally:
    """Running counts; every `Counter` maps a plain-words reason to a number.

    Attributes:
        files_read: files that gave their text, wholly or up to a damaged place.
        files_in_part: files that gave text up to a damaged place; they are in `files_read` and in `files_skipped`.
        files_skipped: files that gave no text, by reason; a damaged file that gave some rows is here too.
        rows_skipped: rows of jsonl, csv and parquet files that gave no document, by reason.
        file_issues: defects of files that were read nevertheless, by reason.
        encodings: texts by the encoding they were read in: files, or the texts in a file that holds several (the
            chapters of a book, the mails of a mailbox).
        encoding_issues: repairs to make text valid, by reason.  Files that gave no text are in none of these three.
        documents_read: documents the readers made.
        bytes_read: their size as UTF-8.
        documents_cut: files or rows that were longer than a document may be and were cut into several.
        normalized_documents: documents each normalisation rule changed.
        normalized_characters: for each rule the number of characters by which it changed the length of texts; for a
            rule that keeps the length, the number of characters it replaced.
        dropped: documents dropped, by reason.
        dropped_bytes: their size as UTF-8, by reason.
        facts: facts that the file being read states about itself (`title`, `language`); its reader writes them.
        on_skip: is called for every skipped file, at once.
        on_read: is called for every file that gave text, after its last document.
    """

    files_read: int = 0
    files_in_part: int = 0
    files_skipped: Counter[str] = field(default_factory=Counter)
    rows_skipped: Counter[str] = field(default_factory=Counter)
    file_issues: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    encoding_issues: Counter[str] = field(default_factory=Counter)
    documents_read: int = 0
    bytes_read: int = 0
    documents_cut: int = 0
    normalized_documents: Counter[str] = field(default_factory=Counter)
    normalized_characters: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    facts: dict[str, str] = field(default_factory=dict)
    on_skip: SkipListener | None = None
    on_read: ReadListener | None = None
    _file_start: tuple[int, int] = (0, 0)
    _mended_before: Sequence[Counter[str]] = ()

    def open_file(self) -> None:
        """Begin a file: the documents read from here to `close_file` are its documents."""
        self.facts.clear()
        self._file_start = (self.documents_read, self.bytes_read)
        self._mended_before = [counter.copy() for counter in self._mended]

    @property
    def file_documents(self) -> int:
        """Number of documents of the file being read, so far."""
        return self.documents_read - self._file_start[0]

    @property
    def _mended(self) -> tuple[Counter[str], ...]:
        return self.file_issues, self.encodings, self.encoding_issues

    def close_file(self, source: str, reader: str) -> None:
        """End the file: one that gave documents is passed to `on_read`, one that gave none counts as not mended."""
        if not self.file_documents:
            for counter, before in zip(self._mended, self._mended_before, strict=True):
                counter.clear()
                counter.update(before)
        elif self.on_read is not None:
            num_bytes = self.bytes_read - self._file_start[1]
            facts = dict(self.facts)
            self.on_read(
                FileRead(
                    source=source, reader=reader, num_documents=self.file_documents, num_bytes=num_bytes, facts=facts
                )
            )

    def skip_file(self, source: str, reason: str, detail: str = "") -> None:
        """Count a file that is not read, and pass its name to `on_skip`."""
        self.files_skipped[reason] += 1
        if self.on_skip is not None:
            self.on_skip(source, reason, detail)

    def drop(self, reason: str, num_bytes: int) -> None:
        """Count a document that does not reach the corpus."""
        self.dropped[reason] += 1
        self.dropped_bytes[reason] += num_bytes

    def as_counts(self) -> dict[str, Any]:
        """The counts as plain nested dictionaries, ready for JSON."""
        return {
            "files": {
                "read": self.files_read,
                "in_part": self.files_in_part,
                "skipped": dict(self.files_skipped),
            },
            "rows_skipped": dict(self.rows_skipped),
            "file_troubles": dict(self.file_issues),
            "encodings": dict(self.encodings),
            "encoding_troubles": dict(self.encoding_issues),
            "documents": {"read": self.documents_read, "cut": self.documents_cut},
            "bytes": {"read": self.bytes_read},
            "normalized": {
                rule: {"documents": number, "characters": self.normalized_characters[rule]}
                for rule, number in self.normalized_documents.items()
            },
            "dropped": {
                reason: {"documents": number, "bytes": self.dropped_bytes[reason]}
                for reason, number in self.dropped.items()
            },
        }
