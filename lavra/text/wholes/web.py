"""Read web pages whole: the main text, with the headings that are in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lavra.text.sources.html import Page, open_page
from lavra.text.sources.reading import File, ReadConfig, text_documents
from lavra.text.tally import Tally
from lavra.text.whole import Heading
from lavra.text.wholes.draft import WholeDraft


def read_web_page(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    """The document of an `.html` file."""
    page: Page = open_page(file, tally)
    facts = {"title": page.title} if page.title else {}
    for document in text_documents(file, page.text, "", config, tally):
        headings = tuple(_places(document.text, page.headings))
        yield WholeDraft(document=document, kind=file.kind, headings=headings, facts=facts)


def _places(text: str, headings: Sequence[tuple[int, str]]) -> Iterator[Heading]:
    """Headings at their lines of the text, each behind the heading before it; a heading on no line is left out."""
    starts: dict[str, list[int]] = {}
    place = 0
    for line in text.splitlines(keepends=True):
        starts.setdefault(" ".join(line.split()), []).append(place)
        place += len(line)
    last = -1
    for level, title in headings:
        start = next((start for start in starts.get(title, ()) if start > last), None)
        if start is not None:
            yield Heading(level=level, start=start, title=title)
            last = start
