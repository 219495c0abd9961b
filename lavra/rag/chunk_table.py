"""The chunks of an index by number, for every arm of a search and every answer.

`MemoryChunks` holds a few in memory; an index on disk (`lavra.rag.index`) holds many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.base.retrieval import ACCESS, EVERYONE, Chunk, Condition, MetaValue, Operator, Where


class ChunkTable(Protocol):
    """A view of chunks and their documents at one moment: a concurrent writer changes nothing in it."""

    def ids(self, where: Where = ()) -> npt.NDArray[np.int64]:
        """The numbers of the chunks whose documents meet every condition, in rising order.

        Raises InputError for a field that no document has, and names the known fields.
        """
        ...

    def chunks(self, ids: Sequence[int]) -> list[Chunk]:
        """Chunks by number, in the order of the numbers."""
        ...

    def document_text(self, name: str) -> str:
        """The whole text of a document, as indexed.

        Raises InputError where no document has that name.
        """
        ...

    def documents(self) -> list[str]:
        """The names of all documents, in the order of the alphabet."""
        ...

    def document_chunks(self, name: str) -> list[Chunk]:
        """The chunks of a document in the order of its text; none where no document has that name."""
        ...


class MemoryChunks:
    """A `ChunkTable` in memory.

    Args:
        chunks: pieces of the documents, in any order; their numbers differ.
        texts: whole texts of their documents, by name.
    """

    def __init__(self, chunks: Sequence[Chunk], texts: Mapping[str, str]) -> None:
        self._by_id = {chunk.id: chunk for chunk in sorted(chunks, key=lambda chunk: chunk.id)}
        if len(self._by_id) != len(chunks):
            raise InputError("two chunks have one number; give each its own")
        self._texts = dict(texts)

    def ids(self, where: Where = ()) -> npt.NDArray[np.int64]:
        """See `ChunkTable.ids`."""
        known = {name for chunk in self._by_id.values() for name in chunk.meta} | {ACCESS}
        check_fields(where, known)
        return np.array([id for id, chunk in self._by_id.items() if meets(chunk.meta, where)], dtype=np.int64)

    def chunks(self, ids: Sequence[int]) -> list[Chunk]:
        """See `ChunkTable.chunks`."""
        return [self._by_id[int(id)] for id in ids]

    def document_text(self, name: str) -> str:
        """See `ChunkTable.document_text`."""
        if name not in self._texts:
            raise InputError(f"no document is called {name!r}; it may have been deleted after it was indexed")
        return self._texts[name]

    def documents(self) -> list[str]:
        """See `ChunkTable.documents`."""
        return sorted(self._texts)

    def document_chunks(self, name: str) -> list[Chunk]:
        """See `ChunkTable.document_chunks`."""
        found = [chunk for chunk in self._by_id.values() if chunk.document == name]
        return sorted(found, key=lambda chunk: (chunk.start, chunk.end))

    def document_facts(self, name: str) -> Mapping[str, MetaValue]:
        """The facts of a document, its name among them; none where it does not exist."""
        if name not in self._texts:
            return {}
        return next((one.meta for one in self._by_id.values() if one.document == name and one.meta), {"document": name})

    def document_pages(self, name: str) -> tuple[int, ...]:
        """The places where a document's pages begin, as far as a chunk begins on each."""
        chunks = self.document_chunks(name)
        firsts = {one.page: one.start for one in reversed(chunks) if one.page is not None}
        return tuple(0 if page == 1 else firsts[page] for page in sorted(firsts))


def check_fields(where: Where, known: set[str]) -> None:
    """Refuse a condition on a fact that no document has.

    Raises:
        InputError: the field is unknown; the message names it and the known fields.
    """
    for condition in where:
        if condition.field not in known:
            raise InputError(
                f"no document has a field {condition.field!r}; the fields are {', '.join(sorted(known)) or 'none'}"
            )


def meets(meta: Mapping[str, MetaValue], where: Where) -> bool:
    """Whether facts meet every condition."""
    return all(_meets(meta, condition) for condition in where)


def readable_by(groups: frozenset[str] | None) -> Where:
    """The condition that a document may be read by members of these groups; none for the owner of the index."""
    if groups is None:
        return ()
    return (Condition(field=ACCESS, operator=Operator.HAS_ANY, value=tuple(sorted({*groups, EVERYONE}))),)


def _meets(meta: Mapping[str, MetaValue], condition: Condition) -> bool:
    fact = meta.get(condition.field, (EVERYONE,) if condition.field == ACCESS else None)
    wanted = condition.value
    if fact is None:
        return False
    match condition.operator:
        case Operator.EQUAL:
            return fact == wanted
        case Operator.NOT_EQUAL:
            return fact != wanted
        case Operator.IN:
            return fact in _several(wanted)
        case Operator.NOT_IN:
            return fact not in _several(wanted)
        case Operator.HAS_ANY:
            return bool(set(_several(fact)) & set(_several(wanted)))
    return _compares(fact, condition)


def _compares(fact: MetaValue, condition: Condition) -> bool:
    wanted = condition.value
    if isinstance(fact, tuple) or isinstance(wanted, tuple) or isinstance(fact, str) != isinstance(wanted, str):
        return False  # values of different kinds have no order
    order = (fact > wanted) - (fact < wanted)  # type: ignore[operator]
    match condition.operator:
        case Operator.AT_LEAST:
            return order >= 0
        case Operator.AT_MOST:
            return order <= 0
        case Operator.OVER:
            return order > 0
    return order < 0


def _several(value: MetaValue | tuple[str | int | float, ...]) -> tuple[str | int | float | bool, ...]:
    return value if isinstance(value, tuple) else (value,)
