"""Divide a part of a document into chunks of a given number of tokens; a chunk may begin within the end of the chunk
before it.

The chunks are the sections of the cutter `lavra.text.cutting`; methods differ in the places where a chunk may end and
where the next chunk may begin.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.errors import ConfigError
from lavra.text.chunking.tokens import PlacedTokens, TokenSpans
from lavra.text.cutting import Reach, outside_characters, section_end
from lavra.text.sentences import SENTENCE_END
from lavra.text.whole import ChunkSpan

EndRule = Callable[[str, int, Reach, int], int]
"""From a text, the start of a chunk, the end of the longest chunk and the end of the chunk before: the chunk's end."""
BeginRule = Callable[[str, int, int], int]
"""From a text and the first and last place where the next chunk may begin: the place where it begins."""

MOST_CHARS_A_TOKEN: Final = 32
"""A chunk has at most this many characters a token: some tokenizers make one token of any word they do not know."""
_BEGINNING: Final = re.compile(rf"\n\s*|{SENTENCE_END.pattern}")
_HEADING: Final = re.compile(r"#{1,6} ")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, kw_only=True)
class Packer:
    """Cuts parts of one text.

    Attributes:
        text: the whole text.
        tokens: the tokens of the text.
        size: most tokens of a chunk.
        overlap: most tokens at the end of a chunk that the next chunk repeats.
        end: the rule for the end of a chunk.
        begin: the rule for the beginning of the next chunk.
    """

    text: str
    tokens: PlacedTokens
    size: int
    overlap: int
    end: EndRule
    begin: BeginRule

    def chunks(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The chunks of the part of the text between two places; together they cover all of it."""
        part, place, behind = self.text[start:end], 0, 0

        def reach(place: int) -> int:
            return self._reach(start + place, end) - start

        while True:
            stop = self.end(part, place, reach, behind)
            yield start + place, start + stop
            if stop >= len(part):
                return
            earliest = self.tokens.start(max(0, self.tokens.before(start + stop) - self.overlap)) - start
            begin = self.begin(part, earliest, stop) if place < earliest < stop else stop
            is_progress = place < begin and outside_characters(part, reach(begin), stop) > stop
            place, behind = (begin if is_progress else stop), stop

    def _reach(self, start: int, end: int) -> int:
        """The end of the longest chunk that may begin at a place."""
        limit = self.tokens.start(self.tokens.at(start) + self.size)
        return max(start + 1, min(end, limit, start + self.size * MOST_CHARS_A_TOKEN)) if start < end else end


def end_by_tokens(text: str, start: int, reach: Reach, behind: int) -> int:
    """End after the greatest number of tokens that fits."""
    return outside_characters(text, reach(start), max(start, behind) + 1)


def end_by_structure(text: str, start: int, reach: Reach, behind: int) -> int:
    """End at the last place of the highest rank: heading, paragraph, line, sentence, space."""
    return section_end(text, start, reach, behind=behind)


def end_by_sentences(starts: Sequence[int]) -> EndRule:
    """A rule that ends a chunk before the last sentence that does not fit; too long a sentence is cut by structure.

    Args:
        starts: places where the sentences of the text begin.
    """

    def end(text: str, start: int, reach: Reach, behind: int) -> int:
        limit = reach(start)
        if limit == len(text):
            return limit
        number = bisect_right(starts, limit)
        place = starts[number - 1] if number else 0
        if place <= behind:
            return section_end(text, start, reach, behind=behind)
        return outside_characters(text, place, behind + 1)

    return end


def begin_at_token(text: str, earliest: int, stop: int) -> int:
    """Begin at the earliest place."""
    return outside_characters(text, earliest, 0)


def begin_at_sentence(text: str, earliest: int, stop: int) -> int:
    """Begin at the first sentence or line, or at a word where a sentence was cut; behind any heading."""
    if _HEADING.match(text, stop):
        return stop
    if text[earliest - 1] == "\n":
        return earliest
    ends = [match.end() for match in _BEGINNING.finditer(text, earliest - 1, stop)]
    if not ends:
        ends = [match.end() for match in _SPACE.finditer(text, earliest - 1, stop)]
    first = next((end for end in ends if earliest <= end), earliest)
    return outside_characters(text, first, 0)


def begin_by_sentences(starts: Sequence[int]) -> BeginRule:
    """A rule that begins a chunk at the first whole sentence that fits into the overlap."""

    def begin(text: str, earliest: int, stop: int) -> int:
        number = bisect_left(starts, earliest)
        return starts[number] if number < len(starts) and starts[number] < stop else stop

    return begin


def trimmed(text: str, start: int, end: int) -> ChunkSpan | None:
    """The span without white space around it; `None` where the span holds only white space."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return ChunkSpan(start=start, end=end) if start < end else None


def fitting(text: str, span: ChunkSpan, tokenize: TokenSpans, size: int) -> Iterator[ChunkSpan]:
    """The span, or parts of it where the span by itself has more tokens than within its text.

    Raises:
        ConfigError: one character has more tokens than a chunk may.
    """
    own = text[span.start : span.end]
    found = len(tokenize(own))
    if found <= size:
        yield span
        return
    if len(own) == 1:
        raise ConfigError(f"size is {size} tokens, and the character {own!r} alone has {found}; make it at least that")
    tokens = PlacedTokens(own, tokenize)
    most = max(1, size * len(own) // found)

    def reach(place: int) -> int:
        limit = tokens.start(tokens.at(place) + max(1, size * 3 // 4))
        return min(len(own) - 1, max(place + 1, min(limit, place + most))) if place == 0 else len(own)

    place = section_end(own, 0, reach)
    for start, end in ((0, place), (place, len(own))):
        part = trimmed(text, span.start + start, span.start + end)
        if part is not None:
            yield from fitting(text, part, tokenize, size)
