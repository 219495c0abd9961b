"""What a reader knows of a whole document, before that is added which every format has (language, encoding, …)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from lavra.base.retrieval import MetaValue
from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, make_document
from lavra.text.tally import Tally
from lavra.text.whole import Heading


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeDraft:
    """A document and what its format says about places in it.

    Attributes:
        document: with its name and text.
        kind: of the document.
        page_starts: as of `WholeText`.
        headings: as of `WholeText`; `None` where they are found in the text itself.
        facts: that the format gives.
    """

    document: Document
    kind: str
    page_starts: tuple[int, ...] = ()
    headings: tuple[Heading, ...] | None = None
    facts: Mapping[str, MetaValue] = field(default_factory=dict)


DraftReader = Callable[[File, ReadConfig, Tally], Iterator[WholeDraft]]
"""Makes drafts from one file."""


class Joined:
    """Parts of a file (pages, chapters) put together into one text, or several where it gets longer than one may be.

    Args:
        file: they are of.
        config: says how long a text may be.
        tally: counts.
    """

    def __init__(self, file: File, config: ReadConfig, tally: Tally) -> None:
        self.text = ""
        self.number = 1
        self._file, self._most, self._tally = file, config.max_chars, tally

    def is_full(self, part: str) -> bool:
        """Whether another part would make the text longer than it may be."""
        return bool(self.text) and len(self.text) + len(part) > self._most

    def document(self, *, is_last: bool) -> Document:
        """The text so far as a document; the next part begins another one."""
        part = None if is_last and self.number == 1 else self.number
        document = make_document(self._file, f"{self.text}\n", "", self._tally, dict(self._tally.facts), part=part)
        self.text, self.number = "", self.number + 1
        return document
