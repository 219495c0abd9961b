"""Whether a sentence exchanges two parts of its evidence: `Ana sued Rui` and `Rui sued Ana` have the same words.

The words that both have are put in the order of the evidence.  A sentence that moves a clause to its front has its
words in two blocks; a sentence that exchanges two parts around a verb has them in three, in the opposite order.  A
passive (`Rui was sued by Ana`) exchanges them too and means the same: `by` or `por` that only one side has excuses it.

Deliberately absent: a parser.  Exchanges across a verb that is a function word (`is`) are not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from lavra.ground.words import Word, listed

_PASSIVE: Final = listed("by por pelo pela pelos pelas")
_AND: Final = listed("and or e ou nor nem")


def exchanged_words(claim: Sequence[Word], evidence: Sequence[Word]) -> tuple[str, str] | None:
    """The first words of two parts that a claim exchanges, as written, or nothing."""
    if Counter(w.plain for w in claim if w.plain in _PASSIVE) != Counter(
        w.plain for w in evidence if w.plain in _PASSIVE
    ):
        return None
    places = _places(evidence)
    ours = Counter(word.stem for word in claim if not word.ties)
    common = [word for word in claim if ours[word.stem] == 1 and word.stem in places]
    order = [places[word.stem] for word in common]
    if len(order) < 3:
        return None
    for first, last in _reversals(order):
        if not _is_list(evidence, order[last], order[first]):
            return common[first].text, common[last].text
    return None


def _places(evidence: Sequence[Word]) -> dict[str, int]:
    """Where in the evidence each content word stands that it has once."""
    counts = Counter(word.stem for word in evidence if not word.ties)
    return {word.stem: place for place, word in enumerate(evidence) if counts[word.stem] == 1 and not word.ties}


def _reversals(order: Sequence[int]) -> list[tuple[int, int]]:
    """Where the first and the third of three blocks begin that stand in the opposite order, each in order within."""
    ranks = {place: rank for rank, place in enumerate(sorted(order))}
    ranked = [ranks[place] for place in order]
    starts = [place for place in range(len(ranked)) if place == 0 or ranked[place] != ranked[place - 1] + 1]
    ends = [*starts[1:], len(ranked)]
    blocks = [(ranked[start], ranked[end - 1], start) for start, end in zip(starts, ends, strict=True)]
    return [
        (first[2], last[2])
        for first, middle, last in zip(blocks, blocks[1:], blocks[2:], strict=False)
        if middle[1] + 1 == first[0] and last[1] + 1 == middle[0]
    ]


def _is_list(evidence: Sequence[Word], start: int, end: int) -> bool:
    """Whether words between two places are items that `and` or `or` ties together."""
    return any(word.plain in _AND for word in evidence[start:end])
