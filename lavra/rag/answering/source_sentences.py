"""The sentences of passages, with their exact places in their documents.

A chunk may begin or end in the middle of a sentence.  A sentence is looked for in the document's text, a little around
the chunk, so that a quotation is whole.  Blank lines, list items and headings end a sentence too; a text without an end
for long (a table, code) is cut at line breaks or spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from lavra.base.retrieval import Citation, Passage
from lavra.rag.chunk_table import ChunkTable
from lavra.text.sentences import SentenceSpan, sentence_spans

_AROUND: Final = 400  # characters beside a chunk in which the rest of its first and last sentence is looked for
_LONGEST: Final = 600  # most characters of a sentence; longer ones are tables or lists without marks
_BLOCK_END: Final = re.compile(
    r"\n[^\S\n]*\n\s*|\n(?=[^\S\n]*(?:(?:[-*•+–]|\d{1,3}[.)]|#{1,6})\s|\|))|(?<=\n)(?=#{1,6}\s)"
)
_HEADING_LINE: Final = re.compile(r"[^\S\n]*#{1,6}\s[^\n]*\n")


@runtime_checkable
class HasPages(Protocol):
    """A table of chunks that knows where each page begins."""

    def document_pages(self, name: str) -> Sequence[int]:
        """The place where each page of a document begins, in characters; none where it has no pages."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSentence:
    """A sentence of a passage.

    Attributes:
        passage: number of its passage among the passages, from 0.
        document: name of the document.
        start: place of its first character in the document's text.
        end: place behind its last character.
        text: characters between these places.
        line: number of the line on which it begins.
        page: number of the page on which it begins, if there are pages.
    """

    passage: int
    document: str
    start: int
    end: int
    text: str
    line: int
    page: int | None

    def citation(self) -> Citation:
        """The sentence as a citation."""
        return Citation(
            document=self.document, start=self.start, end=self.end, text=self.text, line=self.line, page=self.page
        )


class Sources:
    """The texts of the documents that a question's passages come from, each read once.

    Args:
        table: the chunk table of the index.
    """

    def __init__(self, table: ChunkTable) -> None:
        self._table = table
        self._texts: dict[str, str] = {}

    def text(self, document: str) -> str:
        """The whole text of a document."""
        if document not in self._texts:
            self._texts[document] = self._table.document_text(document)
        return self._texts[document]

    def sentences(self, passages: Sequence[Passage]) -> list[SourceSentence]:
        """The sentences of passages, in their order; a sentence that two passages share belongs to the first."""
        found: list[SourceSentence] = []
        seen: set[tuple[str, int, int]] = set()
        for number, passage in enumerate(passages):
            for span in self._spans(passage):
                key = (passage.chunk.document, span.start, span.end)
                if key not in seen:
                    seen.add(key)
                    found.append(self.sentence(number, passage, span.start, span.end))
        return found

    def sentence(self, number: int, passage: Passage, start: int, end: int) -> SourceSentence:
        """Make a stretch of a passage's document."""
        chunk = passage.chunk
        text = self.text(chunk.document)
        line = chunk.line + text.count("\n", chunk.start, start) - text.count("\n", start, chunk.start)
        return SourceSentence(
            passage=number,
            document=chunk.document,
            start=start,
            end=end,
            text=text[start:end],
            line=line,
            page=self._page(passage, start),
        )

    def stretch(self, first: SourceSentence, last: SourceSentence) -> SourceSentence:
        """The stretch from the beginning of one sentence to the end of another one of the same document."""
        end = max(first.end, last.end)
        return replace(first, end=end, text=self.text(first.document)[first.start : end])

    def _page(self, passage: Passage, start: int) -> int | None:
        if passage.chunk.page is None or not isinstance(self._table, HasPages):
            return passage.chunk.page
        return sum(begin <= start for begin in self._table.document_pages(passage.chunk.document)) or None

    def _spans(self, passage: Passage) -> Iterator[SentenceSpan]:
        chunk = passage.chunk
        text = self.text(chunk.document)
        first, last = max(0, chunk.start - _AROUND), min(len(text), chunk.end + _AROUND)
        for span in text_sentences(text, first, last):
            # A sentence that the window itself cuts ends where the chunk ends.
            start = max(span.start, chunk.start) if span.start <= first and first > 0 else span.start
            end = min(span.end, chunk.end) if span.end >= last and last < len(text) else span.end
            inside = min(end, chunk.end) - max(start, chunk.start)
            if inside > 0 and 2 * inside >= end - start:
                yield SentenceSpan(start, end)


def text_sentences(text: str, start: int = 0, end: int | None = None) -> list[SentenceSpan]:
    """Split the text between two places at sentence ends, blank lines, list items, headings, and at 600 characters."""
    stop = len(text) if end is None else end
    found: list[SentenceSpan] = []
    begin = start
    for match in [*_BLOCK_END.finditer(text, start, stop), None]:
        border = stop if match is None else match.start()
        heading = _HEADING_LINE.match(text, begin, border)
        if heading:
            found += sentence_spans(text, begin, heading.end())
            begin = heading.end()
        found += sentence_spans(text, begin, border)
        begin = border if match is None else match.end()
    return [part for span in found for part in _shortened(text, span) if part.start < part.end]


def _shortened(text: str, span: SentenceSpan) -> Iterator[SentenceSpan]:
    start = span.start
    while span.end - start > _LONGEST:
        places = (text.rfind(mark, start + 1, start + _LONGEST) for mark in "\n ")
        cut = next((place for place in places if place > start), start + _LONGEST)
        yield _trim(text, start, cut)
        start = cut
    yield _trim(text, start, span.end)


def _trim(text: str, start: int, end: int) -> SentenceSpan:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return SentenceSpan(start, end)


def merged(sentences: Sequence[SourceSentence], sources: Sources) -> list[SourceSentence]:
    """Merge sentences that follow one another in a document, in the order of each stretch's first given sentence."""
    found: list[SourceSentence] = []
    for one in sorted(sentences, key=lambda one: (one.document, one.start)):
        last = found[-1] if found else None
        text = sources.text(one.document)
        if last and last.document == one.document and not text[last.end : one.start].strip():
            found[-1] = sources.stretch(last, one)
        else:
            found.append(one)
    first = {(one.document, one.start): place for place, one in reversed(list(enumerate(sentences)))}
    return sorted(
        found,
        key=lambda whole: min(
            place
            for (name, start), place in first.items()
            if name == whole.document and whole.start <= start < whole.end
        ),
    )
