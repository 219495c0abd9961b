"""Find two exchanged parts of the evidence: `Ana sued Rui` and `Rui sued Ana` have the same words.

The words that claim and evidence share are put in the order of the evidence.  A sentence that moves a clause to its
front has its words in two blocks; a sentence that exchanges two parts around a verb has them in three, in the opposite
order.  A passive (`Rui was sued by Ana`) exchanges them too and means the same: `by` or `por` between the two excuses
it.

Two numbers in each other's place are recognised by the words around them.

Deliberately absent: a parser.  Exchanges across a verb that is a function word (`is`) are not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from lavra.ground.numbers import Number, agrees
from lavra.ground.statement import Statement
from lavra.ground.words import Word
from lavra.text.function_words import word_set

_PASSIVE: Final = word_set("by por pelo pela pelos pelas")
_ITEM_WORDS: Final = 3  # content words from one item of a list to the next but one
_AND: Final = word_set("and or e ou nor nem")


def exchanged_words(claim: Sequence[Word], evidence: Sequence[Word]) -> tuple[str, str] | None:
    """Find the first words of two parts that a claim exchanges, as written, or nothing."""
    places = _places(evidence)
    common = _common(claim, places)
    blocks = _blocks([places[word.stem] for word in common])
    for first, middle, last in zip(blocks, blocks[1:], blocks[2:], strict=False):
        is_reversed = middle.last + 1 == first.first and last.last + 1 == middle.first
        parts = common[first.start], common[last.start]
        theirs = evidence[places[parts[1].stem] : places[parts[0].stem]]
        ours = claim[claim.index(parts[0]) : claim.index(parts[1])]
        if is_reversed and not _is_list(theirs) and _passives(ours) == _passives(theirs):
            return parts[0].text, parts[1].text
    return None


def exchanged_numbers(claim: Statement, evidence: Statement) -> tuple[str, str] | None:
    """Find two numbers of a claim, of which the first stands in the other's place, as written, or nothing.

    A number's place is the words before and behind it, so that a phrase that is moved takes its numbers along.
    """
    theirs = _by_place(evidence)
    for place, number in _by_place(claim).items():
        there = theirs.get(place)
        if there is not None and not agrees(number, [there]):
            others = [other for other in claim.numbers if other is not number and agrees(other, [there])]
            if others and agrees(number, evidence.numbers):
                return number.text, others[0].text
    return None


def _by_place(one: Statement) -> dict[tuple[str, str], Number]:
    """The numbers that the evidence must have, keyed by the words around each."""
    taken = {word.start for number in one.numbers for word in one.words_in(number)}
    rest = [word for word in one.words if word.start not in taken]
    found = {}
    for number in one.numbers:
        before = next((word.stem for word in reversed(rest) if word.end <= number.start), "")
        behind = next((word.stem for word in rest if word.start >= number.end), "")
        if number.is_asked:
            found[before, behind] = number
    return found


def _common(claim: Sequence[Word], places: Mapping[str, int]) -> list[Word]:
    """The content words that stand once in the claim and also in the evidence."""
    ours = Counter(word.stem for word in claim if not word.ties)
    return [word for word in claim if ours[word.stem] == 1 and word.stem in places]


class _Block(NamedTuple):
    """Words of a claim side by side that stand in the order of the evidence."""

    start: int  # place in the claim's common words
    first: int  # rank of its first word in the evidence
    last: int


def _blocks(order: Sequence[int]) -> list[_Block]:
    ranks = {place: rank for rank, place in enumerate(sorted(order))}
    ranked = [ranks[place] for place in order]
    starts = [place for place in range(len(ranked)) if place == 0 or ranked[place] != ranked[place - 1] + 1]
    ends = [*starts[1:], len(ranked)]
    return [_Block(start, ranked[start], ranked[end - 1]) for start, end in zip(starts, ends, strict=False)]


def _passives(words: Sequence[Word]) -> Counter[str]:
    return Counter(word.plain for word in words if word.plain in _PASSIVE)


def _places(evidence: Sequence[Word]) -> dict[str, int]:
    """The place in the evidence of each content word that stands there once."""
    counts = Counter(word.stem for word in evidence if not word.ties)
    return {word.stem: place for place, word in enumerate(evidence) if counts[word.stem] == 1 and not word.ties}


def _is_list(words: Sequence[Word]) -> bool:
    """Whether words are items that `and` or `or` ties together, and no more."""
    return any(word.plain in _AND for word in words) and sum(not word.ties for word in words) <= _ITEM_WORDS
