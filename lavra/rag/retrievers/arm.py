"""An arm of a search: it gives numbers of chunks with scores, and does not know their texts.

A request is resolved once, in `Lookup.of`: its allowed chunks are taken from the table before any arm ranks
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
"""The most characters of a question."""
NOTHING_ALLOWED: Final = "no passage meets the conditions, so nothing was searched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A request with its allowed chunks.

    Attributes:
        query: search text, in a person's words.
        depth: most chunks wanted.
        where: conditions of the request and of its groups' access.
        allowed: numbers of the chunks that meet the conditions, rising.
    """

    query: str
    depth: int
    where: Where
    allowed: Int64s

    @classmethod
    def of(cls, table: ChunkTable, request: SearchRequest, depth: int) -> Lookup:
        """Check a request and find its allowed chunks.

        Raises:
            InputError: the question is empty or too long, k is below 1, or a condition asks for an unknown field.
        """
        check_request(request)
        where = (*request.where, *readable_by(request.groups))
        return cls(query=request.query, depth=depth, where=where, allowed=table.ids(where))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The chunks that an arm found.

    Attributes:
        ids: (n,) numbers of the chunks, the best first, equal scores by number.
        scores: (n,) score of each chunk.
        warnings: parts of the request that were not fulfilled.
    """

    ids: Int64s
    scores: Float64s
    warnings: tuple[str, ...] = ()


class Arm(Protocol):
    """A way of finding chunks; its name is the key of its scores in `Passage.scores`."""

    @property
    def name(self) -> str:
        """The name of its scores."""
        ...

    def candidates(self, lookup: Lookup) -> Candidates:
        """Find at most `lookup.depth` of the allowed chunks."""
        ...


def check_request(request: SearchRequest) -> None:
    """Refuse an invalid request.

    Raises:
        InputError: the request is invalid; the message names the fault and the remedy.
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
    """Turn chunks into passages with their scores and those of the arms that found them."""
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
    """Search with a single arm."""
    lookup = Lookup.of(table, request, request.k)
    if not len(lookup.allowed):
        return Found(passages=(), warnings=(NOTHING_ALLOWED,))
    found = arm.candidates(lookup)
    return Found(passages=passages(table, found.ids, found.scores, {arm.name: found}), warnings=found.warnings)
