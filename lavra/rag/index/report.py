"""What became of an update, in numbers and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCounts:
    """How much an index holds.

    Attributes:
        documents: names that can be cited.
        chunks: parts of them that can be found.
        distinct: different texts among the chunks; each is embedded once.
        characters: of the documents' texts.
        languages: documents by language (ISO 639-1); empty is not known.
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
        name: as a user would name it.
        reason: a phrase to count by.
        detail: particulars, and what to do.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What an update did.

    Attributes:
        generation: that readers see now.
        counts: how much the index holds now.
        added: documents that are new.
        changed: documents whose text, facts or chunks are others.
        removed: documents that are gone.
        unchanged: documents that stayed as they were.
        embedded: distinct texts of chunks that the encoder read now.
        reused: distinct texts of chunks whose vectors were there.
        skipped: what was not indexed, and why.
        troubles: what was mended or left out inside files, by reason.
        warnings: what the caller might not expect, one sentence each.
        seconds: that it took.
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
    troubles: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
