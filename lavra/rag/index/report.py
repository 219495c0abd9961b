"""The report of an update, in numbers and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCounts:
    """The size of an index.

    Attributes:
        documents: number of names that can be cited.
        chunks: number of document parts that can be found.
        distinct: number of different texts among the chunks; each is embedded once.
        characters: number of characters of the documents' texts.
        languages: number of documents by language (ISO 639-1); an empty language is unknown.
    """

    documents: int
    chunks: int
    distinct: int
    characters: int
    languages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file, or a row of one, that is not in the index.

    Attributes:
        name: path as a user would write it.
        reason: a short phrase, by which skipped files are counted.
        detail: details, and the remedy.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """The result of an update.

    Attributes:
        generation: the generation that readers see now.
        counts: the size of the index now.
        added: number of new documents.
        changed: number of documents with other text, facts or chunks than before.
        removed: number of documents removed.
        unchanged: number of documents that stayed the same.
        embedded: number of distinct chunk texts that the encoder read now.
        reused: number of distinct chunk texts whose vectors were there.
        skipped: the files and rows that were not indexed, and the reasons.
        issues: parts of files that were mended or left out, by reason.
        warnings: unexpected results, a sentence each.
        seconds: duration of the update.

    Example:
        >>> report = lavra.index("documents", name="handbook", encoder="none", progress=False).report
        >>> report.counts.documents, report.unchanged
        (2, 2)
    """

    generation: int
    counts: IndexCounts
    added: int
    changed: int
    removed: int
    unchanged: int
    embedded: int
    reused: int
    skipped: tuple[SkippedFile, ...] = ()
    issues: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
