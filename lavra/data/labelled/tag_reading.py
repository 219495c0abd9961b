"""The tags of a file as one scheme has them, and those among them that are odd.

The scheme is that of most tags.  A tag that is written otherwise is named wherever it stands, and read where it can
mean one thing only (`0` for `O`, `S-LOC` among BIO); a sentence with one that cannot be read is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lavra.metrics.tag_schemes import LIKE_OUTSIDE, OUTSIDE, TagScheme, find_scheme, is_marked, parts

ONE_KIND = "ENTITY"
"""Type of spans whose tags are letters alone (`B`, `I`)."""

_LETTERS = frozenset("BIESLUM")


@dataclass(frozen=True, kw_only=True)
class TagReading:
    """The meaning of each tag of a file.

    Attributes:
        scheme: the scheme of most tags.
        spelling: the file's way to write tags where that is not `B-X`, shown to the user.
        meant: each tag of the file as the scheme writes it; None for one that cannot be read.
        odd: tags that are not written as the others are.
    """

    scheme: TagScheme
    spelling: str
    meant: Mapping[str, str | None]
    odd: frozenset[str]


def find_tag_reading(sentences: Sequence[Sequence[str]]) -> TagReading:
    """Find the scheme of all sentences' tags, and the meaning of each tag."""
    counts = Counter(tag for tags in sentences for tag in tags)
    spelling, respell = _spelling(counts)
    scheme = find_scheme([[respell(tag) for tag in tags] for tags in sentences] if spelling else sentences)
    spelled = {tag: respell(tag) for tag in counts}
    kinds = {parts(tag)[1] for tag in spelled.values() if is_marked(tag)}
    bare = {tag for tag in counts if not is_marked(tag)} if scheme is TagScheme.NONE else set()
    meant: dict[str, str | None] = {}
    for tag, one in spelled.items():
        if scheme is TagScheme.NONE:
            is_slip = tag in LIKE_OUTSIDE and counts[OUTSIDE] > counts[tag]
            meant[tag] = OUTSIDE if is_slip else parts(tag)[1] if is_marked(tag) and parts(tag)[1] in bare else tag
        else:
            meant[tag] = _meant(one, scheme, kinds)
    if scheme is TagScheme.NONE and counts[OUTSIDE]:
        spelling = "a run of one tag is one span"
    odd = frozenset(tag for tag in counts if meant[tag] != spelled[tag])
    return TagReading(scheme=scheme, spelling=spelling, meant=meant, odd=odd)


def _spelling(counts: Counter[str]) -> tuple[str, Callable[[str], str]]:
    """The usual spelling of tags that mark a span, and the function that makes `B-X` of them."""
    marks = {tag: count for tag, count in counts.items() if tag != OUTSIDE and tag not in LIKE_OUTSIDE}
    total = sum(marks.values())
    if OUTSIDE not in counts or sum(count for tag, count in marks.items() if is_marked(tag)) * 2 > total:
        return "", str
    for spelling, respell in _SPELLINGS.items():
        if sum(count for tag, count in marks.items() if is_marked(respell(tag))) * 2 > total:
            return spelling, respell
    return "", str


def _from_underscore(tag: str) -> str:
    letter, sign, kind = tag.partition("_")
    return f"{letter}-{kind}" if sign and kind and letter in _LETTERS else tag


def _from_suffix(tag: str) -> str:
    kind, sign, letter = tag.rpartition("-")
    return f"{letter}-{kind}" if sign and kind and letter in _LETTERS else tag


def _from_letter(tag: str) -> str:
    return f"{tag}-{ONE_KIND}" if tag in _LETTERS else tag


_SPELLINGS: dict[str, Callable[[str], str]] = {
    "written B_X": _from_underscore,
    "written X-B": _from_suffix,
    f"letters without a type, read as {ONE_KIND}": _from_letter,
}


def _meant(tag: str, scheme: TagScheme, kinds: set[str]) -> str | None:
    """The tag in the scheme's own spelling; None where its meaning is not clear."""
    if tag == OUTSIDE or tag in LIKE_OUTSIDE:
        return OUTSIDE
    if not is_marked(tag):
        known = _from_underscore(tag)
        letter, kind = parts(known)
        if is_marked(letter.upper() + known[len(letter) :]) and kind in kinds:
            return _in_scheme(letter.upper(), kind, scheme)
        return f"I-{tag}" if tag in kinds else None
    return _in_scheme(*parts(tag), scheme)


def _in_scheme(letter: str, kind: str, scheme: TagScheme) -> str:
    if scheme is TagScheme.BILOU or letter in ("B", "I"):
        return f"{letter}-{kind}"
    return f"B-{kind}" if letter in ("U", "S", "W") else f"I-{kind}"
