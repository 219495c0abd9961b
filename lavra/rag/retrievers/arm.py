"""What an arm of a search is: it gives numbers of chunks with scores, and knows nothing of their text.

A request is looked at once, in `Lookup.of`: the chunks that it allows are taken from the table before any arm ranks
anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import InputError
from lavra.base.retrieval import Found, Passage, SearchRequest, Where
from lavra.rag.chunk_table import ChunkTable, readable_by

MOST_CHARACTERS: Final = 10_000
"""Longest question that is searched for."""
NOTHING_ALLOWED: Final = "no passage meets the conditions, so nothing was searched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A request and the chunks it allows.

    Attributes:
        query: in a person's words.
        depth: most chunks that are wanted.
        where: conditions of the request and of the access of its groups.
        allowed: numbers of the chunks that meet them, rising.
    """

    query: str
    depth: int
    where: Where
    allowed: Int64s

    @classmethod
    def of(cls, table: ChunkTable, request: SearchRequest, depth: int) -> Lookup:
        """A request looked at.

        Raises:
            InputError: the question is empty or too long, k is below 1, or a condition asks for an unknown field.
        """
        check_request(request)
        where = (*request.where, *readable_by(request.groups))
        return cls(query=request.query, depth=depth, where=where, allowed=table.ids(where))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What an arm found.

    Attributes:
        ids: (n,) numbers of chunks, the best first, equal scores by number.
        scores: (n,) of each.
        warnings: what was not done as asked.
    """

    ids: Int64s
    scores: Float64s
    warnings: tuple[str, ...] = ()


class Arm(Protocol):
    """One way of finding chunks; its name is the key of its scores in `Passage.scores`."""

    @property
    def name(self) -> str:
        """What its scores are called."""
        ...

    def candidates(self, lookup: Lookup) -> Candidates:
        """At most `lookup.depth` of the allowed chunks."""
        ...


def check_request(request: SearchRequest) -> None:
    """Refuse what cannot be searched for.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    if not request.query.strip():
        raise InputError("the question is empty; ask in a few words")
    if len(request.query) > MOST_CHARACTERS:
        raise InputError(
            f"the question has {len(request.query):,} characters; at most {MOST_CHARACTERS:,} are searched for: "
            "shorten it, or give the text as a document"
        )
    if any("\ud800" <= character <= "\udfff" for character in request.query):
        raise InputError("the question has half of a character (a lone surrogate); send it as UTF-8")
    if request.k < 1:
        raise InputError(f"k is {request.k}; ask for at least 1 passage")


def passages(
    table: ChunkTable, ids: Sequence[int] | Int64s, scores: Float64s, arms: Mapping[str, Candidates]
) -> tuple[Passage, ...]:
    """Chunks with their scores, and those of the arms that found them."""
    by_arm = {name: dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True)) for name, found in arms.items()}
    return tuple(
        Passage(
            chunk=chunk,
            score=float(score),
            scores={name: known[chunk.id] for name, known in by_arm.items() if chunk.id in known},
        )
        for chunk, score in zip(table.chunks([int(id) for id in ids]), scores, strict=True)
    )


def search_one(table: ChunkTable, arm: Arm, request: SearchRequest) -> Found:
    """Search with one arm alone."""
    lookup = Lookup.of(table, request, request.k)
    if not len(lookup.allowed):
        return Found(passages=(), warnings=(NOTHING_ALLOWED,))
    found = arm.candidates(lookup)
    return Found(passages=passages(table, found.ids, found.scores, {arm.name: found}), warnings=found.warnings)
