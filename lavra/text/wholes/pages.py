"""Read PDF files whole, with the place where each page begins; the file's outline, if any, gives the headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lavra.text.sources.pdf import Bookmark, join_divided, page_gap, read_bookmarks, read_pages
from lavra.text.sources.reading import File, ReadConfig
from lavra.text.tally import Tally
from lavra.text.whole import Heading
from lavra.text.wholes.draft import Joined, WholeDraft


def read_paged(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    """The document of a `.pdf` file; a page without text begins where the next one does."""
    joined, starts, done = Joined(file, config, tally), list[int](), 0
    bookmarks: list[Bookmark] | None = None
    for number, page in read_pages(file, tally):
        bookmarks = read_bookmarks(file) if bookmarks is None else bookmarks
        text = join_divided(page)
        if joined.is_full(text):
            yield _draft(joined, file, starts, _between(bookmarks, done, number - 1), is_last=False)
            starts, done = [], number - 1
        start = joined.add(page_gap(joined.last), text)
        starts += [start] * (number - len(starts))
    if joined.length:
        yield _draft(joined, file, starts, _between(bookmarks or [], done, len(starts)), is_last=True)


def _draft(
    joined: Joined, file: File, starts: list[int], bookmarks: Sequence[Bookmark], *, is_last: bool
) -> WholeDraft:
    headings = tuple(_places(joined.text, starts, bookmarks))
    return WholeDraft(
        document=joined.document(is_last=is_last), kind=file.kind, page_starts=tuple(starts), headings=headings
    )


def _between(bookmarks: Sequence[Bookmark], done: int, last: int) -> list[Bookmark]:
    """The bookmarks of the pages behind `done` up to `last`."""
    return [each for each in bookmarks if done < each.page <= last]


def _places(text: str, starts: Sequence[int], bookmarks: Sequence[Bookmark]) -> Iterator[Heading]:
    """Headings at the line of their page that begins with them, or else at the beginning of the page; in text order."""
    last = 0
    for mark in bookmarks:
        start = starts[mark.page - 1]
        end = starts[mark.page] if mark.page < len(starts) else len(text)
        words = r"\s+".join(map(re.escape, mark.title.split()))
        found = re.compile(rf"^.{{0,12}}?{words}", re.MULTILINE).search(text, max(start, last), end)
        place = found.start() if found is not None else start
        if place >= last:  # an outline may lead back; its order is the text's here
            yield Heading(level=mark.level, start=place, title=mark.title)
            last = place
