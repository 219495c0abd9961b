"""What happened to the text on its way in: the counts behind every honest report.

One `Tally` accompanies a corpus while it is built.  Readers, normaliser, filters and deduplication each add to it;
nothing is dropped, repaired or skipped without a line here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SkipListener = Callable[[str, str, str], None]  # source, reason, detail


@dataclass(kw_only=True)
class Tally:
    """Running counts; every `Counter` maps a plain-words reason to a number.

    Attributes:
        files_read: files that gave their text, wholly or until they turned out damaged.
        files_skipped: files that gave none, by reason; a damaged file that gave some rows is here too.
        rows_skipped: rows of jsonl, csv and parquet files that gave no document, by reason.
        encodings: files by the encoding they were read in.
        encoding_troubles: repairs to make text valid, by reason.
        documents_read: documents the readers made.
        bytes_read: their size as UTF-8.
        documents_cut: files or rows longer than one document may be, cut into several.
        normalized_documents: documents each normalisation rule changed.
        normalized_characters: by how many characters each rule changed their length, or for a rule that keeps
            the length the number it replaced.
        dropped: documents dropped, by reason.
        dropped_bytes: their size as UTF-8, by reason.
        on_skip: told of every skipped file, as it happens.
    """

    files_read: int = 0
    files_skipped: Counter[str] = field(default_factory=Counter)
    rows_skipped: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    encoding_troubles: Counter[str] = field(default_factory=Counter)
    documents_read: int = 0
    bytes_read: int = 0
    documents_cut: int = 0
    normalized_documents: Counter[str] = field(default_factory=Counter)
    normalized_characters: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    on_skip: SkipListener | None = None

    def skip_file(self, source: str, reason: str, detail: str = "") -> None:
        """Count a file that is not read, and say which."""
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
            "files": {"read": self.files_read, "skipped": dict(self.files_skipped)},
            "rows_skipped": dict(self.rows_skipped),
            "encodings": dict(self.encodings),
            "encoding_troubles": dict(self.encoding_troubles),
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
