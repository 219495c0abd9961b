"""Read EPUB books whole; a chapter without a heading of its own gets its title from the table of contents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lavra.text.sources.epub import read_chapters
from lavra.text.sources.reading import File, ReadConfig
from lavra.text.tally import Tally
from lavra.text.whole import Heading
from lavra.text.wholes.draft import Joined, WholeDraft
from lavra.text.wholes.headings import markdown_headings


def read_book(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    """The document of an `.epub` file."""
    joined, headings = Joined(file, config, tally), list[Heading]()
    for chapter in read_chapters(file, tally):
        if joined.is_full(chapter.text):
            yield WholeDraft(document=joined.document(is_last=False), kind=file.kind, headings=tuple(headings))
            headings = []
        start = joined.add("\n\n" if joined.length else "", chapter.text)
        own = markdown_headings(chapter.text)
        if chapter.title and not (own and not chapter.text[: own[0].start].strip()):
            headings.append(Heading(level=1, start=start, title=chapter.title))
        headings += [replace(heading, start=start + heading.start) for heading in own]
    if joined.length:
        yield WholeDraft(document=joined.document(is_last=True), kind=file.kind, headings=tuple(headings))
