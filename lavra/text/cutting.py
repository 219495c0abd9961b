"""Cut a long text into sections that end where a reader would pause, and never inside a character.

A section is at most `size` long.  From a half of that on (a quarter with `CutAt.WORDS`) the cutter looks for the place
to end the section, in one of two ways:

- `CutAt.STRUCTURE`: the last place of the highest rank: a heading, a paragraph that begins at the margin, a paragraph,
  a line, a sentence, a space.  For sections that people or models read.
- `CutAt.WORDS`: the end of a sentence whose neighbouring words have the lowest hash (content-defined chunking:
  Muthitacharoen et al. 2001, LBFS).  Spaces and line breaks do not count, so a book on a single line, or in the middle
  of a longer text, is cut at the same places as the same book in paragraphs.  For sections that are compared.

The text may come in blocks of any size: the sections do not depend on them, and memory is that of a few sections.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from lavra.base.errors import ConfigError
from lavra.text.sentences import SENTENCE_END

PART_OF: Final = "part_of"
"""Key of `Document.meta`: the source of the text that a reader cut this document from."""
PART: Final = "part"
"""Key of `Document.meta`: the number of this part of that text, from 1."""


class Measure(Enum):
    """The unit of the size of a section."""

    CHARACTERS = "characters"
    BYTES = "bytes"  # of UTF-8


class CutAt(Enum):
    """The rule for the end of a section."""

    STRUCTURE = "structure"
    WORDS = "words"


@dataclass(frozen=True, kw_only=True)
class CutConfig:
    """Settings of a cut.

    Attributes:
        size: greatest size of a section.
        measure: the unit of `size`.
        at: the rule for the end of a section.
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
        start: place in the text where the section begins, in characters.
        end: place where it ends, exclusive.
    """

    id: str
    text: str
    start: int
    end: int


def cut(blocks: Iterable[str], config: CutConfig, identity: str = "") -> Iterator[TextSection]:
    """The sections of a text, in order.

    Args:
        blocks: the text, whole or in several blocks.
        config: settings of the cut: the size of sections and the places where they end.
        identity: the text's id; the ids of its sections begin with it.
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
            end = section_end(rest, start, partial(_reach, rest, config=config), at=config.at)
            number += 1
            yield TextSection(id=f"{identity}#{number}", text=rest[start:end], start=before + start, end=before + end)
            start = end
        before, rest = before + start, rest[start:]
        if is_last:
            return


Reach = Callable[[int], int]
"""From a place in a text: the end of the longest section that may begin there."""

_CONTEXT = 24  # characters on each side of a place, from which its neighbouring words are taken
_NEIGHBOURS = 12  # characters used of these, without spaces

_RANKS = (
    re.compile(r"\n(?=\#{1,6} )|\n[ \t]*\n[ \t]*\n\s*(?=\S)"),  # before a heading: marked, or set off by blank lines
    re.compile(r"\n[ \t]*\n(?=\S)"),  # a paragraph that begins at the margin: in code, what is not nested
    re.compile(r"(?:\r\n?|\n)[ \t]*(?:\r\n?|\n)+"),  # a paragraph
    re.compile(r"\r\n?|\n"),  # a line
    SENTENCE_END,
    re.compile(r"\s+"),
)
_SENTENCES, _LINES, _SPACES = _RANKS[4], _RANKS[3], _RANKS[5]


def section_end(text: str, start: int, reach: Reach, *, at: CutAt = CutAt.STRUCTURE, behind: int | None = None) -> int:
    """The place where the section that begins at `start` ends.

    Args:
        text: the text to cut.
        start: place where the section begins.
        reach: returns for a place the end of the longest section that may begin there; never less than the place.
        at: the rule for the end.
        behind: the end of the section before, which this section overlaps; this section ends behind it where its length
            allows that.
    """
    limit, following = reach(start), len(text) - start
    if limit == len(text):
        return limit
    least = start if behind is None else min(behind, limit)
    middle = start + (limit - start) // (2 if at is CutAt.STRUCTURE else 4)  # more places: more cuts in common
    if reach(middle) == len(text):  # two sections are left: neither gets short
        middle, limit = start + following // 3, min(limit, max(least + 1, start + following - following // 3))
    middle = max(middle, least)
    place = _by_structure(text, middle, limit) if at is CutAt.STRUCTURE else _by_words(text, middle, limit)
    place = outside_characters(text, place, least + 1)
    if is_inside_character(text, place):  # inside a long character: the section may end behind the chosen place
        place = outside_characters(text, reach(start), least + 1)
    return place


def _reach(text: str, start: int, *, config: CutConfig) -> int:
    """The end of the longest section that may begin at `start`."""
    end = min(len(text), start + config.size)
    if config.measure is Measure.CHARACTERS:
        return end
    data = text[start:end].encode("utf-8", "surrogatepass")
    return end if len(data) <= config.size else start + len(data[: config.size].decode("utf-8", "ignore"))


def _places(pattern: re.Pattern[str], text: str, middle: int, limit: int) -> list[int]:
    """The ends of the matches within the bounds."""
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
    """A hash of the words around a place; the characters between the words do not count."""
    left = "".join(text[max(0, place - _CONTEXT) : place].split())[-_NEIGHBOURS:]
    right = "".join(text[place : place + _CONTEXT].split())[:_NEIGHBOURS]
    return zlib.crc32((left + right).encode("utf-8", "surrogatepass"))


# Vowels of Thai and Lao that are letters by category, and yet belong to the character before them; joiners; the sound
# marks of narrow Katakana.
_BELONGS = frozenset("\u0e33\u0eb3\u200c\u200d\uff9e\uff9f")
# Signs that belong to the character behind them, such as the number signs of Arabic.
_PREPENDED = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3"
)
# Viramas that bind two consonants (Indic_Conjunct_Break = Linker, Unicode 16).
_BINDING = frozenset(
    "\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2\u1a60\u1b44\u1bab\ua9c0\uaaf6\U00010a3f\U00011133\U000113d0"
    "\U0001193e\U00011a47\U00011a99\U00011f42"
)


def outside_characters(text: str, place: int, least: int) -> int:
    """The nearest place at or before `place`, and not before `least`, that is not inside a character as people see it.

    A character that goes on from `least` to `place`, such as a letter with hundreds of accents, is cut at `place`.
    """
    for found in range(place, least - 1, -1):
        if not is_inside_character(text, found):
            return found
    return place


def is_inside_character(text: str, place: int) -> bool:
    """Whether a character spans a place (the rules of Unicode Standard Annex 29 that matter in text)."""
    if not 0 < place < len(text):
        return False
    left, right = text[place - 1], text[place]
    if left == "\r" and right == "\n":
        return True
    if left == "\u200d" or left in _PREPENDED:
        return not right.isspace()
    if right < "\u0300":
        return False
    return (
        right in _BELONGS
        or unicodedata.category(right)[0] == "M"
        or "\U0001f3fb" <= right <= "\U0001f3ff"  # the colour of a skin
        or "\U000e0020" <= right <= "\U000e007f"  # the letters of a flag of a region
        or (unicodedata.category(right) == "Lo" and _is_bound(text, place))
        or ("\u1100" <= left <= "\ud7fb" and _is_in_syllable(left, right))
        or ("\U0001f1e6" <= right <= "\U0001f1ff" and _is_second_of_flag(text, place))
    )


def _is_bound(text: str, place: int) -> bool:
    """Whether a virama stands before a place, with or without other marks between."""
    before = place - 1
    while before >= 0 and unicodedata.category(text[before])[0] == "M":
        if text[before] in _BINDING:
            return True
        before -= 1
    return False


def _is_in_syllable(left: str, right: str) -> bool:
    """Whether two letters of Hangul are parts of one syllable: first consonants, vowels, last consonants, in order."""
    first, second = _jamo(left), _jamo(right)
    return bool(first and second) and (
        (first == "L" and second != "T") or (first[-1] == "V" and second in "VT") or (first[-1] == second == "T")
    )


def _jamo(letter: str) -> str:
    """`L`, `V` or `T`; `LV` or `LVT` for a whole syllable; empty for a character that is not a letter of Hangul."""
    if "\uac00" <= letter <= "\ud7a3":
        return "LV" if (ord(letter) - 0xAC00) % 28 == 0 else "LVT"
    for kind, ranges in _JAMO:
        if any(low <= letter <= high for low, high in ranges):
            return kind
    return ""


_JAMO = (
    ("L", (("\u1100", "\u115f"), ("\ua960", "\ua97c"))),
    ("V", (("\u1160", "\u11a7"), ("\ud7b0", "\ud7c6"))),
    ("T", (("\u11a8", "\u11ff"), ("\ud7cb", "\ud7fb"))),
)


def _is_second_of_flag(text: str, place: int) -> bool:
    """Whether an odd number of flag letters stands before the place; a flag is a pair of such letters."""
    before = place
    while before > 0 and "\U0001f1e6" <= text[before - 1] <= "\U0001f1ff":
        before -= 1
    return (place - before) % 2 == 1
