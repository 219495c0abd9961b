"""The one cutter: a long text in sections that end where a reader would pause, and never inside a character.

A section is at most `size` long.  From a half of that on (a quarter with `CutAt.WORDS`) the cutter looks for the place
to end it, in one of two ways:

- `CutAt.STRUCTURE`: the last place of the highest rank: a heading, a paragraph that begins at the margin, a paragraph,
  a line, a sentence, a space.  For sections that people or models read.
- `CutAt.WORDS`: among the ends of sentences the one whose neighbouring words have the lowest hash (content-defined
  chunking: Muthitacharoen et al. 2001, LBFS).  Spaces and line breaks do not count, so a book on a single line, or in
  the middle of a longer text, is cut where the same book in paragraphs is.  For sections that are compared.

The text may come in blocks of any size: the sections do not depend on them, and memory is that of a few sections.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from lavra.base.errors import ConfigError
from lavra.text.sentences import SENTENCE_END

PART_OF: Final = "part_of"
"""Key of `Document.meta`: the source of the whole that a reader cut this document from."""
PART: Final = "part"
"""Key of `Document.meta`: the number of this part of it, from 1."""


class Measure(Enum):
    """What the size of a section counts."""

    CHARACTERS = "characters"
    BYTES = "bytes"  # of UTF-8


class CutAt(Enum):
    """How the end of a section is chosen."""

    STRUCTURE = "structure"
    WORDS = "words"


@dataclass(frozen=True, kw_only=True)
class CutConfig:
    """How a text is cut.

    Attributes:
        size: of a section, at most.
        measure: what `size` counts.
        at: how the end of a section is chosen.
    """

    size: int
    measure: Measure = Measure.CHARACTERS
    at: CutAt = CutAt.STRUCTURE

    def __post_init__(self) -> None:
        least = 4 if self.measure is Measure.BYTES else 1  # a character has up to four bytes
        if self.size < least:
            raise ConfigError(f"size is {self.size} {self.measure.value}; it must be at least {least}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSection:
    """A part of a text.

    Attributes:
        id: the text's id and the number of the section, from 1 (`id#3`).
        text: the section; all sections of a text, joined, are the text.
        start: where it begins in the text, in characters.
        end: where it ends, exclusive.
    """

    id: str
    text: str
    start: int
    end: int


def cut(blocks: Iterable[str], config: CutConfig, identity: str = "") -> Iterator[TextSection]:
    """The sections of a text, in order.

    Args:
        blocks: the text, in one piece or several.
        config: how long sections are and where they end.
        identity: the text's id, which those of its sections begin with.
    """
    need = config.size + config.size // 2 + _CONTEXT  # sees the end of a text before a section of it gets too short
    number, before, rest, is_last = 0, 0, "", False
    parts = iter(blocks)
    while True:
        while len(rest) < need and not is_last:
            block = next(parts, None)
            is_last = block is None
            rest += block or ""
        start = 0
        while start < len(rest) and (is_last or len(rest) - start >= need):
            end = _end(rest, start, config)
            number += 1
            yield TextSection(id=f"{identity}#{number}", text=rest[start:end], start=before + start, end=before + end)
            start = end
        before, rest = before + start, rest[start:]
        if is_last:
            return


_CONTEXT = 24  # characters on each side of a place, of which its neighbouring words are taken
_NEIGHBOURS = 12  # of these, without spaces

_RANKS = (
    re.compile(r"\n(?=\#{1,6} )|\n[ \t]*\n[ \t]*\n\s*(?=\S)"),  # before a heading: marked, or set off by blank lines
    re.compile(r"\n[ \t]*\n(?=\S)"),  # a paragraph that begins at the margin: in code, what is not nested
    re.compile(r"(?:\r\n?|\n)[ \t]*(?:\r\n?|\n)+"),  # a paragraph
    re.compile(r"\r\n?|\n"),  # a line
    SENTENCE_END,
    re.compile(r"\s+"),
)
_SENTENCES, _LINES, _SPACES = _RANKS[4], _RANKS[3], _RANKS[5]


def _end(text: str, start: int, config: CutConfig) -> int:
    """Where the section that begins at `start` ends."""
    limit, following = _reach(text, start, config), len(text) - start
    if limit == len(text):
        return limit
    middle = start + (limit - start) // (2 if config.at is CutAt.STRUCTURE else 4)  # more places: more cuts in common
    if _reach(text, middle, config) == len(text):  # two sections are left: neither gets short
        middle, limit = start + following // 3, min(limit, start + following - following // 3)
    place = _by_structure(text, middle, limit) if config.at is CutAt.STRUCTURE else _by_words(text, middle, limit)
    return _outside_characters(text, place, start + 1)


def _reach(text: str, start: int, config: CutConfig) -> int:
    """The end of the longest section that may begin at `start`."""
    end = min(len(text), start + config.size)
    if config.measure is Measure.CHARACTERS:
        return end
    data = text[start:end].encode("utf-8", "surrogatepass")
    return end if len(data) <= config.size else start + len(data[: config.size].decode("utf-8", "ignore"))


def _places(pattern: re.Pattern[str], text: str, middle: int, limit: int) -> list[int]:
    """Where matches end, within the bounds."""
    return [match.end() for match in pattern.finditer(text, middle, limit) if match.end() > middle]


def _by_structure(text: str, middle: int, limit: int) -> int:
    for pattern in _RANKS:
        places = _places(pattern, text, middle, limit)
        if places:
            return places[-1]
    return limit


def _by_words(text: str, middle: int, limit: int) -> int:
    for pattern in (_SENTENCES, _LINES, _SPACES):
        places = _places(pattern, text, middle, limit)
        if places:
            return min(places, key=lambda place: (_neighbours(text, place), place))
    return limit


def _neighbours(text: str, place: int) -> int:
    """A hash of the words around a place, whatever is between them."""
    left = "".join(text[max(0, place - _CONTEXT) : place].split())[-_NEIGHBOURS:]
    right = "".join(text[place : place + _CONTEXT].split())[:_NEIGHBOURS]
    return zlib.crc32((left + right).encode("utf-8", "surrogatepass"))


# Vowels of Thai and Lao that are letters by category, and yet belong to the character before them (UAX 29).
_BELONGS = frozenset("\u0e33\u0eb3\u200d")


def _outside_characters(text: str, place: int, least: int) -> int:
    """The nearest place at or before `place` that is not inside a character as people see it."""
    for found in range(place, least - 1, -1):
        if not _is_inside(text, found):
            return found
    return place


def _is_inside(text: str, place: int) -> bool:
    """Whether a character goes on over a place (the rules of Unicode Standard Annex 29 that text meets)."""
    if not 0 < place < len(text):
        return False
    left, right = text[place - 1], text[place]
    if left == "\r" and right == "\n":
        return True
    if right < "\u0300":
        return left == "\u200d" and not right.isspace()
    return (
        right in _BELONGS
        or left == "\u200d"
        or unicodedata.category(right)[0] == "M"
        or "\U0001f3fb" <= right <= "\U0001f3ff"  # the colour of a skin
        or ("\U0001f1e6" <= right <= "\U0001f1ff" and _is_second_of_flag(text, place))
    )


def _is_second_of_flag(text: str, place: int) -> bool:
    """Flags are pairs of letters: whether an odd number of such letters stands before the place."""
    before = place
    while before > 0 and "\U0001f1e6" <= text[before - 1] <= "\U0001f1ff":
        before -= 1
    return (place - before) % 2 == 1
