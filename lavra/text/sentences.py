"""Find the ends of sentences, in any script.

A sentence ends in one of three ways:

| scripts | a sentence ends |
|---|---|
| Latin, Greek, Cyrillic, Arabic, Hebrew, … | at `.`, `!`, `?`, `…` and their kin, before a space |
| Chinese, Japanese, Indic, Ethiopic, Khmer, … | at `。`, `！`, `।`, `።` and their kin, with or without a space |
| Thai, Lao | at a space between two letters of the script, for they have no mark for it |

A point after one letter, after a short title (`Sr.`, `Dr.`) or before a small letter does not end a sentence.  The
marks are those that Unicode gives the property Sentence_Terminal (Unicode Standard Annex 29, rules SB8 to SB11, in
small).

Deliberately absent: lists of abbreviations for each language, and sentences of texts without any of these marks.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SPACED: Final = ".!?…‽⁇⁈⁉؟؞۔։"
_UNSPACED: Final = r"。！？．｡।॥።፧፨។៕။၏།༎꘎꘏᙮᠃᠉꛳꛷"
_WIDE_CLOSERS: Final = "」』）】〉》〕"
_CLOSERS: Final = r"\"'”’»›)\]}" + _WIDE_CLOSERS
_BY_SPACES: Final = "\u0e00-\u0eff"  # Thai and Lao
_UNSPACED_LETTERS: Final = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"

_ENDS: Final = re.compile(
    rf"(?P<wide>[{_UNSPACED}]+[{_CLOSERS}]*\s*)"
    rf"|(?P<plain>(?P<mark>[{_SPACED}]+)[{_CLOSERS}]*\s+)(?=(?P<next>\S))"
    rf"|(?<=[{_BY_SPACES}])(?P<space>\s+)(?=[{_BY_SPACES}])"
)
END_MARKS: Final = _SPACED + _UNSPACED
"""Every mark that ends sentences in some script."""
SENTENCE_END: Final = re.compile(rf"[{END_MARKS}][{_CLOSERS}]*(?:\s+|(?<=[{_UNSPACED}{_WIDE_CLOSERS}]))")
"""A mark, the closing marks behind it, and the space if any; titles and numbers are not looked at."""
_TITLE: Final = re.compile(r"(?:^|\W)(?:\w|Mr|Mrs|Ms|[DS]ra?|[ds]ra?|St|Exa|Prof|vol|cap|fig|pp|cf|vs)$")
_UNSPACED_LETTER: Final = re.compile(f"[{_UNSPACED_LETTERS}]")


class SentenceSpan(NamedTuple):
    """A part of a text, without white space around it.

    Attributes:
        start: place of its first character.
        end: place behind its last character.
    """

    start: int
    end: int


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[SentenceSpan]:
    """The sentences between two places of a text, in order; together they hold all of it but white space.

    >>> text = "Era a Sra. Ana. Sim!"
    >>> [text[one.start : one.end] for one in sentence_spans(text)]
    ['Era a Sra. Ana.', 'Sim!']
    """
    stop, begin = len(text) if end is None else end, start
    found = []
    for match in _ENDS.finditer(text, start, stop):
        if match["plain"] and not _ends_sentence(text, match):
            continue
        border = match.end("plain") if match["plain"] else match.end()
        found.append(_trimmed(text, begin, border))
        begin = border
    found.append(_trimmed(text, begin, stop))
    return [one for one in found if one.start < one.end]


def has_unspaced_letters(text: str) -> bool:
    """Whether there are letters of a script that puts no spaces between words, such as Chinese or Thai."""
    return _UNSPACED_LETTER.search(text) is not None


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether a mark before a space ends a sentence."""
    if match["next"].islower():
        return False
    return match["mark"] != "." or _TITLE.search(text, max(0, match.start() - 8), match.start()) is None


def _trimmed(text: str, start: int, end: int) -> SentenceSpan:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return SentenceSpan(start, end)
