"""A reader's draft of a whole document, before the facts of every format (language, encoding, …) are added."""

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
    """A document with the facts that its format gives about places in it.

    Attributes:
        document: the document with its name and text.
        kind: kind of the document.
        page_starts: see `WholeText`.
        headings: see `WholeText`; `None` where they are found in the text itself.
        facts: facts from the format.
    """

    document: Document
    kind: str
    page_starts: tuple[int, ...] = ()
    headings: tuple[Heading, ...] | None = None
    facts: Mapping[str, MetaValue] = field(default_factory=dict)


DraftReader = Callable[[File, ReadConfig, Tally], Iterator[WholeDraft]]
"""Makes drafts from one file."""


class Joined:
    """Parts of a file (pages, chapters) joined into one text, or several texts where one gets longer than allowed.

    Args:
        file: the file of the parts.
        config: settings with the greatest length of a text.
        tally: counts of the reading.

    Attributes:
        last: the last part.
        length: length of the text so far.
    """

    def __init__(self, file: File, config: ReadConfig, tally: Tally) -> None:
        self.last = ""
        self.length = 0
        self._parts: list[str] = []
        self._number = 1
        self._file, self._most, self._tally = file, config.max_chars, tally

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    def add(self, gap: str, part: str) -> int:
        """Append a part behind the gap; returns the place where the part begins."""
        start = self.length + len(gap)
        self._parts += [gap, part]
        self.last, self.length = part, start + len(part)
        return start

    def is_full(self, part: str) -> bool:
        """Whether another part would make the text longer than allowed."""
        return bool(self.length) and self.length + len(part) > self._most

    def document(self, *, is_last: bool) -> Document:
        """The text so far as a document; the next part begins a new document."""
        part = None if is_last and self._number == 1 else self._number
        document = make_document(self._file, f"{self.text}\n", "", self._tally, dict(self._tally.facts), part=part)
        self.last, self.length, self._parts, self._number = "", 0, [], self._number + 1
        return document
