"""A document whole, with the places in it that people name: pages, lines, headings.

The readers of `lavra.text.sources` give what a corpus wants: text, cut where it is long.  Retrieval wants each document
in one piece, so that a place in it can be cited; what stands where comes with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from lavra.base.retrieval import MetaValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A title in a document.

    Attributes:
        level: from 1, the outermost.
        start: of its line in the text.
        title: without marks.
    """

    level: int
    start: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeText:
    """One document in one piece.

    Attributes:
        name: as a user would name it: `folder/report.pdf`, `folder/table.csv#12`, `folder/box.mbox#3`.
        text: all of it; places are counted in its characters.
        kind: as of `Document.kind`, or `mail`.
        page_starts: where each page begins in the text, in order, the first at 0; none where there are no pages.
        headings: in the order of the text.
        meta: facts (`language`, `encoding`, `title`, `date`, `author`, …).
    """

    name: str
    text: str
    kind: str = "text"
    page_starts: tuple[int, ...] = ()
    headings: tuple[Heading, ...] = ()
    meta: Mapping[str, MetaValue] = field(default_factory=dict)

    def page(self, place: int) -> int | None:
        """The page on which a character stands, from 1; `None` where there are no pages."""
        return bisect_right(self.page_starts, place) if self.page_starts else None

    def heading_path(self, place: int) -> tuple[str, ...]:
        """Titles above a character, from the outermost to the nearest."""
        path: list[Heading] = []
        for heading in self.headings:
            if heading.start > place:
                break
            while path and path[-1].level >= heading.level:
                path.pop()
            path.append(heading)
        return tuple(heading.title for heading in path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSpan:
    """A part of a document that is embedded as one; it neither begins nor ends with white space.

    Attributes:
        start: of its first character.
        end: behind its last.
    """

    start: int
    end: int
