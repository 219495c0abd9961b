"""Prose cut into the parts of samples: sections with a heading, paragraphs, and runs of sentences that fit a size.

A paragraph ends at a blank line; where a text has no wrapped lines (one line is longer than any page is wide),
at each line.  A heading is marked as one (Markdown, AsciiDoc, wiki), or it is a short line that stands alone, begins
as a title does and ends like none of the sentences around it.  A run is as many whole sentences as fit into a number
of UTF-8 bytes; a sentence that is longer is cut at a space, or between two letters where it has no space.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from lavra.text.sentences import END_MARKS, SentenceSpan, sentence_spans

_WIDEST: Final = 160  # characters of a line of a page; longer lines are paragraphs
_BLANK: Final = re.compile(r"\n[ \t]*\n\s*")
_LINES: Final = re.compile(r"\n\s*")
_MARKED: Final = re.compile(r"(?:#{1,6}|={1,6})[ \t]+(?P<title>.+?)[ \t]*[#=]*|(?P<under>.+)\n[ \t]*(?:={3,}|-{3,})")
_LONGEST_TITLE: Final = 80
_LEAST_LETTERS: Final = 4  # fewest letters of a title; "IV" and "12" only number sections
_NUMBER: Final = re.compile(r"(?:\w+ )?(?:[IVXLCDM]+|\d+)\.?")
_ENDS_NO_TITLE: Final = tuple(",;:-—–…")
_SENTENCE_MARKS: Final = tuple(END_MARKS)
_CLOSERS: Final = "\"'”’»)]」』"


class SentenceRun(NamedTuple):
    """Whole sentences one after another.

    Attributes:
        sentences: place of each sentence.
        heading: heading of the section that begins with this run; empty anywhere else.
    """

    sentences: tuple[SentenceSpan, ...]
    heading: str = ""

    @property
    def start(self) -> int:
        """The start of the first sentence."""
        return self.sentences[0].start

    @property
    def end(self) -> int:
        """The end of the last sentence."""
        return self.sentences[-1].end


@dataclass(frozen=True, kw_only=True)
class ProseParagraph:
    """A paragraph: sentences that stand together.

    Attributes:
        span: place of the paragraph.
        heading: heading of the section that begins with this paragraph; empty anywhere else.
    """

    span: SentenceSpan
    heading: str


class Passages:
    """A text as sections, paragraphs and sentences.

    Args:
        text: any text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.paragraphs = tuple(_with_headings(text, list(_blocks(text))))
        self._sentences = [sentence_spans(text, *one.span) for one in self.paragraphs]

    def runs(self, max_bytes: int) -> Iterator[SentenceRun]:
        """The whole text in runs of at most `max_bytes` UTF-8 bytes, over the borders of paragraphs."""
        return self._joined((one for sentences in self._sentences for one in sentences), max_bytes)

    def runs_of_paragraphs(self, max_bytes: int) -> Iterator[SentenceRun]:
        """Each paragraph in runs of at most `max_bytes` UTF-8 bytes; a heading goes with the first."""
        for paragraph, sentences in zip(self.paragraphs, self._sentences, strict=True):
            for place, run in enumerate(self._joined(sentences, max_bytes)):
                yield run if place else run._replace(heading=paragraph.heading)

    def part(self, span: SentenceSpan | SentenceRun) -> str:
        """The unchanged text of a span or run."""
        return self.text[span.start : span.end]

    def sentence(self, span: SentenceSpan) -> str:
        """A sentence on one line."""
        return " ".join(self.part(span).split())

    def _joined(self, sentences: Iterable[SentenceSpan], max_bytes: int) -> Iterator[SentenceRun]:
        """The sentences in the longest runs that fit."""
        taken: list[SentenceSpan] = []
        for one in (piece for sentence in sentences for piece in self._cut(sentence, max_bytes)):
            if taken and _size(self.text[taken[0].start : one.end]) > max_bytes:
                yield SentenceRun(tuple(taken))
                taken = []
            taken.append(one)
        if taken:
            yield SentenceRun(tuple(taken))

    def _cut(self, sentence: SentenceSpan, max_bytes: int) -> Iterator[SentenceSpan]:
        """A sentence in pieces that fit, about equally long."""
        start, end = sentence
        size = _size(self.part(sentence))
        wanted = min(max_bytes, math.ceil(1.1 * size / math.ceil(size / max_bytes)))
        while size > max_bytes:
            reach = _reach(self.text, start, wanted)
            space = max(self.text.rfind(mark, start + reach // 2, start + reach + 1) for mark in "\n ")
            border = space if space > start else start + reach
            yield SentenceSpan(start, border)
            goes_on = next(place for place in range(border, end + 1) if place == end or not self.text[place].isspace())
            size -= _size(self.text[start:goes_on])
            start = goes_on
        if start < end:
            yield SentenceSpan(start, end)


def _size(text: str) -> int:
    return len(text.encode())


def _reach(text: str, start: int, max_bytes: int) -> int:
    """The number of characters that fit, at least one."""
    return max(1, len(text[start : start + max_bytes].encode()[:max_bytes].decode("utf-8", errors="ignore")))


def _blocks(text: str) -> Iterator[SentenceSpan]:
    """The paragraphs and headings of a text."""
    start = 0
    for match in (*_BLANK.finditer(text), None):
        end = len(text) if match is None else match.start()
        yield from _lines(text, start, end)
        start = end if match is None else match.end()


def _lines(text: str, start: int, end: int) -> Iterator[SentenceSpan]:
    """A block as one paragraph, or a paragraph a line where its lines are not wrapped."""
    lines = [len(line) for line in text[start:end].split("\n")]
    is_wrapped = max(lines, default=0) <= _WIDEST
    for match in (*(() if is_wrapped else _LINES.finditer(text, start, end)), None):
        border = end if match is None else match.start()
        if text[start:border].strip():
            yield SentenceSpan(start, border)
        start = border if match is None else match.end()


def _with_headings(text: str, blocks: list[SentenceSpan]) -> Iterator[ProseParagraph]:
    heading, before = "", ""
    for span in blocks:
        block = text[span.start : span.end].strip()
        title = _title(block, after_number=bool(_NUMBER.fullmatch(before)))
        before = block
        if title or _NUMBER.fullmatch(block):
            heading = title
            continue
        yield ProseParagraph(span=span, heading=heading)
        heading = ""


def _title(block: str, *, after_number: bool) -> str:
    """The title in a block; empty where the block is not a title."""
    marked = _MARKED.fullmatch(block)
    if marked:
        return (marked["title"] or marked["under"] or "").strip()
    first, _, rest = block.partition("\n")
    if rest and _NUMBER.fullmatch(first.strip()):
        return _title(rest.strip(), after_number=False)
    alone = "\n" not in block and len(block) <= _LONGEST_TITLE and sum(map(str.isalpha, block)) >= _LEAST_LETTERS
    begins = block[:1].isalnum() and not block[:1].islower()
    last = block.rstrip(_CLOSERS)
    ends = not last.endswith(_ENDS_NO_TITLE) and (after_number or block.isupper() or not last.endswith(_SENTENCE_MARKS))
    return block if alone and begins and ends else ""
