"""Pack passages into a budget of tokens.

The best passages are taken while there is room.  Passages that overlap in one document become one; a passage whose
words are nearly all in an earlier passage is a duplicate.  Then the best stand at the edges, first and last, because
models read the middle of a long context worst (Liu et al. 2023, "Lost in the middle").  The passages left out are
reported.
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
        passage: its number among the passages found.
        document: name of the document.
        start: place of its first character.
        end: place behind its last character.
        text: characters between these places.
    """

    passage: int
    document: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The passages that go into the prompt, and those left out.

    Attributes:
        passages: stretches, in the order in which the model reads them.
        left_out: the other passages, in the order in which they were found.
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
    """Choose the passages that fit a budget.

    Args:
        passages: results of the search, the best first.
        sources: the texts of their documents.
        budget: most tokens of all passages together.
        cost: function that counts the tokens of a passage's text in the form of the prompt.
        duplicate: share of its words in an earlier passage from which a passage is a duplicate.
    """
    taken: list[PackedPassage] = []
    left_out: list[LeftOut] = []
    left = budget
    for number, passage in enumerate(passages):
        one = _packed(number, passage)
        overlapped = next((place for place, other in enumerate(taken) if _overlap(one, other)), None)
        whole = one if overlapped is None else _joined(one, taken[overlapped], sources)
        before = 0 if overlapped is None else cost(taken[overlapped].text)
        if overlapped is None and _is_duplicate(one, taken, duplicate):
            left_out.append(_left_out(one, DUPLICATE))
        elif cost(whole.text) - before <= left:
            left -= cost(whole.text) - before
            place = len(taken) if overlapped is None else overlapped
            taken[place : place + 1] = [whole]
        elif not taken:  # the best passage is longer than the budget: its beginning is better than nothing
            beginning = _beginning(one, left, cost)
            if beginning is not None:
                taken, left = [beginning], left - cost(beginning.text)
                left_out.append(_left_out(one, NO_ROOM, start=beginning.end))
            else:
                left_out.append(_left_out(one, NO_ROOM))
        else:
            left_out.append(_left_out(one, NO_ROOM))
    return Packed(passages=tuple(best_at_the_edges(taken)), left_out=tuple(left_out))


def best_at_the_edges(best_first: Sequence[PackedPassage]) -> list[PackedPassage]:
    """Order passages with the best first, the second last, the third second, and so on inwards."""
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


def _beginning(one: PackedPassage, left: int, cost: Callable[[str], int]) -> PackedPassage | None:
    """Cut the passage to as many of its first sentences as fit."""
    best = None
    for span in text_sentences(one.text):
        text = one.text[: span.end]
        if cost(text) > left:
            break
        best = PackedPassage(
            passage=one.passage, document=one.document, start=one.start, end=one.start + span.end, text=text
        )
    return best


def _left_out(one: PackedPassage, reason: str, start: int | None = None) -> LeftOut:
    return LeftOut(document=one.document, start=one.start if start is None else start, end=one.end, reason=reason)
