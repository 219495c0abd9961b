"""PDF files whole, with where each page begins."""

from __future__ import annotations

from collections.abc import Iterator

from lavra.text.sources.pdf import join_divided, page_gap, read_pages
from lavra.text.sources.reading import File, ReadConfig
from lavra.text.tally import Tally
from lavra.text.wholes.draft import Joined, WholeDraft


def read_paged(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    """The document of a `.pdf` file; a page without text begins where the next one does."""
    joined, starts = Joined(file, config, tally), list[int]()
    for number, page in read_pages(file, tally):
        text = join_divided(page)
        if joined.is_full(text):
            yield WholeDraft(
                document=joined.document(is_last=False), kind=file.kind, page_starts=tuple(starts), headings=()
            )
            starts = []
        joined.text += page_gap(joined.text)
        starts += [len(joined.text)] * (number - len(starts))
        joined.text += text
    if joined.text:
        yield WholeDraft(document=joined.document(is_last=True), kind=file.kind, page_starts=tuple(starts), headings=())
