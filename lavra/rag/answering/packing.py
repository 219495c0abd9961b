"""Passages packed into a budget of tokens.

The best passages are taken while there is room.  Passages that overlap in one document become one; a passage whose
words are nearly all in one before it is a duplicate.  Then the best stand at the edges, first and last, because models
read the middle of a long context worst (Liu et al. 2023, "Lost in the middle").  What was left out is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lavra.base.retrieval import LeftOut, Passage
from lavra.rag.answering.source_sentences import Sources, text_sentences
from lavra.rag.words import runs

NO_ROOM = "no room"
DUPLICATE = "duplicate"
INSTRUCTIONS = "speaks to a model"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPassage:
    """A stretch of a document that goes into the prompt.

    Attributes:
        passage: its place among the passages that were found.
        document: name of its document.
        start: of its first character.
        end: behind its last.
        text: that slice.
    """

    passage: int
    document: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What goes into the prompt, and what does not.

    Attributes:
        passages: in the order in which they are read.
        left_out: the others, in the order in which they were found.
    """

    passages: tuple[PackedPassage, ...]
    left_out: tuple[LeftOut, ...]


def pack_passages(
    passages: Sequence[Passage],
    sources: Sources,
    *,
    budget: int,
    cost: Callable[[str], int],
    duplicate: float = 0.9,
) -> Packed:
    """The passages that a budget holds.

    Args:
        passages: the best first.
        sources: texts of their documents.
        budget: most tokens of all of them together.
        cost: tokens of one passage's text as the prompt will have it.
        duplicate: share of its words in one before it from which a passage is a duplicate.
    """
    taken: list[PackedPassage] = []
    left_out: list[LeftOut] = []
    room = budget
    for number, passage in enumerate(passages):
        one = _packed(number, passage)
        overlapped = next((place for place, other in enumerate(taken) if _overlap(one, other)), None)
        whole = one if overlapped is None else _joined(one, taken[overlapped], sources)
        before = 0 if overlapped is None else cost(taken[overlapped].text)
        if overlapped is None and _is_duplicate(one, taken, duplicate):
            left_out.append(_left_out(one, DUPLICATE))
        elif cost(whole.text) - before <= room:
            room -= cost(whole.text) - before
            place = len(taken) if overlapped is None else overlapped
            taken[place : place + 1] = [whole]
        elif not taken:  # the best one is longer than all the room: its beginning is better than nothing
            beginning = _beginning(one, room, cost)
            if beginning is not None:
                taken, room = [beginning], room - cost(beginning.text)
                left_out.append(_left_out(one, NO_ROOM, start=beginning.end))
            else:
                left_out.append(_left_out(one, NO_ROOM))
        else:
            left_out.append(_left_out(one, NO_ROOM))
    return Packed(passages=tuple(at_the_edges(taken)), left_out=tuple(left_out))


def at_the_edges(best_first: Sequence[PackedPassage]) -> list[PackedPassage]:
    """The best first, the second last, the third second, and so on inwards."""
    return [*best_first[::2], *reversed(best_first[1::2])]


def _packed(number: int, passage: Passage) -> PackedPassage:
    chunk = passage.chunk
    return PackedPassage(passage=number, document=chunk.document, start=chunk.start, end=chunk.end, text=chunk.text)


def _overlap(one: PackedPassage, other: PackedPassage) -> bool:
    return one.document == other.document and one.start < other.end and other.start < one.end


def _joined(one: PackedPassage, other: PackedPassage, sources: Sources) -> PackedPassage:
    start, end = min(one.start, other.start), max(one.end, other.end)
    text = sources.text(one.document)[start:end]
    return PackedPassage(passage=other.passage, document=one.document, start=start, end=end, text=text)


def _is_duplicate(one: PackedPassage, taken: Sequence[PackedPassage], share: float) -> bool:
    words = {word.casefold() for word in runs(one.text)}
    return any(
        len(words & {word.casefold() for word in runs(other.text)}) >= share * len(words) for other in taken if words
    )


def _beginning(one: PackedPassage, room: int, cost: Callable[[str], int]) -> PackedPassage | None:
    """The passage cut to as many of its first sentences as there is room for."""
    best = None
    for span in text_sentences(one.text):
        text = one.text[: span.end]
        if cost(text) > room:
            break
        best = PackedPassage(
            passage=one.passage, document=one.document, start=one.start, end=one.start + span.end, text=text
        )
    return best


def _left_out(one: PackedPassage, reason: str, start: int | None = None) -> LeftOut:
    return LeftOut(document=one.document, start=one.start if start is None else start, end=one.end, reason=reason)
