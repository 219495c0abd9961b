"""Tags of words: the scheme that they are written in, and the same spans as BIO.

In BIO (IOB2) every span begins with `B-`; in IOB1 with `I-`, and with `B-` only right after a span of its own type
(Tjong Kim Sang and Veenstra 1999).  BILOU, IOBES and BMES also mark last and single words.  Which one a file uses is
seen from all its tags together.  A transition a scheme does not allow is reported, and read as the beginning of a span.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

OUTSIDE = "O"
LIKE_OUTSIDE = ("0", "o")
"""Signs typed for `O` by mistake."""
# The meaning of the letters of BILOU, IOBES and BMES(W).
_MEANING = {"B": "B", "I": "I", "M": "I", "L": "L", "E": "L", "U": "U", "S": "U", "W": "U"}


class TagScheme(Enum):
    """Schemes of tags that mark spans."""

    BIO = "BIO"
    IOB1 = "IOB1"
    BILOU = "BILOU"  # and IOBES, BMES: other letters for the same
    NONE = "none"  # a label a word, such as parts of speech


def parts(tag: str) -> tuple[str, str]:
    """`B-PER` as `("B", "PER")`; a tag without a type is one of the empty type."""
    letter, _, kind = tag.partition("-")
    return letter, kind


def find_scheme(sentences: Iterable[Sequence[str]]) -> TagScheme:
    """The scheme of a file's tags: that of most of them, for one odd tag decides nothing."""
    marked = bare = 0  # tags that mark a span, and others
    num_last = num_plain = 0  # spans whose last word is marked, and spans whose last word is not
    num_early_b = num_early_i = 0  # spans that do not follow one of their type, by the letter that begins them
    for tags in sentences:
        before = OUTSIDE
        for tag, after in itertools.pairwise([*tags, OUTSIDE]):
            letter, kind = parts(tag)
            if tag != OUTSIDE and not is_marked(tag):
                bare += tag not in LIKE_OUTSIDE
            elif tag != OUTSIDE:
                marked += 1
                is_last = _MEANING[letter] in ("L", "U")
                num_last += is_last
                num_plain += not is_last and not (parts(after)[1] == kind and _meaning(after) in ("I", "L"))
                if before == OUTSIDE or parts(before)[1] != kind:
                    num_early_b += letter == "B"
                    num_early_i += letter == "I"
            before = tag
    if bare > marked:
        return TagScheme.NONE
    if num_last > num_plain:
        return TagScheme.BILOU
    return TagScheme.IOB1 if num_early_i > num_early_b else TagScheme.BIO


def is_marked(tag: str) -> bool:
    """Whether a tag is a letter of a scheme and a type."""
    letter, kind = parts(tag)
    return bool(kind) and letter in _MEANING


def _meaning(tag: str) -> str:
    return _MEANING.get(parts(tag)[0], OUTSIDE)


def to_bio(tags: Sequence[str], scheme: TagScheme) -> tuple[tuple[str, ...], list[int]]:
    """The tags in BIO, and the indexes of those whose transition the scheme does not allow."""
    if scheme is TagScheme.NONE:
        return tuple(tags), []
    bad: list[int] = []
    result: list[str] = []
    is_open, kind_before = False, ""  # whether a span may go on, and of which type
    for index, tag in enumerate(tags):
        letter, kind = parts(tag)
        meaning = _MEANING.get(letter, OUTSIDE)
        goes_on = is_open and kind == kind_before
        if not _is_allowed(meaning, goes_on, is_open, scheme):
            bad.append(index)
        if tag == OUTSIDE:
            is_open, kind_before = False, ""
            result.append(OUTSIDE)
            continue
        inside = meaning in ("I", "L") and goes_on
        result.append(f"{'I' if inside else 'B'}-{kind}")
        is_open, kind_before = scheme is not TagScheme.BILOU or meaning in ("B", "I"), kind
    if scheme is TagScheme.BILOU and is_open:
        bad.append(len(tags) - 1)  # a span that never got its last word
    return tuple(result), sorted(set(bad))


def _is_allowed(meaning: str, goes_on: bool, is_open: bool, scheme: TagScheme) -> bool:
    if scheme is TagScheme.BIO:
        return meaning != "I" or goes_on
    if scheme is TagScheme.IOB1:
        return meaning != "B" or goes_on
    # BILOU: an open span goes on with its own type, and nothing else follows it.
    return goes_on if meaning in ("I", "L") else not is_open


def spans(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first word, word after the last) of each span of BIO tags; a stray `I-` begins one.

    Letters for last and single words are understood.  Words of one tag without a letter (`PER`) are one span, as
    transformers' pipeline has it.
    """
    start, kind_before, is_open = 0, "", False
    for index, tag in enumerate([*tags, OUTSIDE]):
        meaning, kind = (_meaning(tag), parts(tag)[1]) if is_marked(tag) or tag == OUTSIDE else ("I", tag)
        if is_open and meaning in ("I", "L") and kind == kind_before:
            is_open = meaning == "I"
            continue
        if kind_before:
            yield kind_before, start, index
        start, kind_before, is_open = index, kind, meaning in ("B", "I")
