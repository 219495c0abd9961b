"""Find the words that a sentence puts in place of words of its evidence, aligned word by word.

Where a few words of the evidence are replaced by others between words that both texts have, a number in a number's
place, a name in a name's place or a word in its opposite's place is a contradiction, even if the evidence has it
somewhere else. Any other word may or may not be a synonym; an entailment head decides that, where the caller gives a
head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from lavra.ground.numbers import agrees
from lavra.ground.polarity import are_opposites
from lavra.ground.statement import Statement
from lavra.ground.words import Word

_LONGEST: Final = 6  # most words that are replaced together; a longer run is another sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """Words of a claim that replace words of the evidence; both sides have a content word.

    Attributes:
        claimed: the words of the claim.
        given: the words of the evidence that they replace.
    """

    claimed: Sequence[Word]
    given: Sequence[Word]


def find_substitutions(claim: Sequence[Word], evidence: Sequence[Word]) -> list[Substitution]:
    """Find words of the evidence that the claim replaces between words that both texts have."""
    ours, theirs = [word.stem for word in claim], [word.stem for word in evidence]
    steps = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    found = []
    for kind, start, end, from_start, from_end in steps:
        if kind == "replace" and max(end - start, from_end - from_start) <= _LONGEST:
            claimed, given = claim[start:end], evidence[from_start:from_end]
            if _content(claimed) and _content(given):
                found.append(Substitution(claimed=claimed, given=given))
    return found


def is_contradiction(one: Substitution, claim: Statement, evidence: Statement) -> bool:
    """Whether a number, a name or an opposite replaces another.

    A word that the claim has elsewhere only changed its place, and contradicts nothing.
    """
    claimed_stems = {word.stem for word in claim.words}
    gone = [word for word in _content(one.given) if word.stem not in claimed_stems]
    if any(are_opposites(word.plain, other.plain) for word in _content(one.claimed) for other in gone):
        return True
    return _numbers_differ(one, claim, evidence) or _names_differ(one, gone, claim, evidence)


def _numbers_differ(one: Substitution, claim: Statement, evidence: Statement) -> bool:
    ours, theirs = claim.numbers_in(one.claimed), evidence.numbers_in(one.given)
    gone = [number for number in theirs if number.is_asked and not agrees(number, claim.numbers)]
    return bool(gone) and any(number.is_asked and not agrees(number, theirs) for number in ours)


def _names_differ(one: Substitution, gone: Sequence[Word], claim: Statement, evidence: Statement) -> bool:
    known = {word.stem for word in evidence.words}
    new = [word for word in one.claimed if word.start in claim.names and word.stem not in known]
    return bool(new) and any(word.text[0].isupper() for word in gone)


def is_open(one: Substitution) -> bool:
    """Whether a word replaces another word that may or may not mean the same."""
    return len(_content(one.claimed)) == len(_content(one.given)) == 1


def _content(words: Sequence[Word]) -> list[Word]:
    return [word for word in words if not word.ties]
