"""A whole document with the places in it that people name: pages, lines, headings.

The readers of `lavra.text.sources` give the text for a corpus: cut where it is long.  Retrieval needs each document
in one piece, so that a place in it can be cited; the places of pages and headings come with it.
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
        level: depth of nesting; 1 is the outermost.
        start: place where its line begins in the text.
        title: the title without marks.
    """

    level: int
    start: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeText:
    """A whole document.

    Attributes:
        name: the document's name for users: `folder/report.pdf`, `folder/table.csv#12`, `folder/box.mbox#3`.
        text: the whole text; places are counted in its characters.
        kind: a kind of `Document.kind`, or `mail`.
        page_starts: place where each page begins in the text, in order, the first at 0; none where there are no pages.
        headings: the headings in the order of the text.
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
    """A part of a document that is embedded as a unit; it neither begins nor ends with white space.

    Attributes:
        start: place of its first character.
        end: place behind its last character.
    """

    start: int
    end: int
