"""Parent documents: a passage is found by a small chunk and shown with the text around it.

The text shown is a slice of the document as indexed, so that every place in it can still be cited.  Passages of one
document that overlap after widening become one, at the rank of the better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lavra.base.ports import Retriever
from lavra.base.retrieval import Chunk, Found, Passage, SearchRequest
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.retrievers.config import Expansion


@dataclass(slots=True)
class _Stretch:
    """A passage with the chunks around it.

    Attributes:
        passage: result of the search.
        first: first chunk of the stretch, which gives its line and page.
        end: place behind its last character.
    """

    passage: Passage
    first: Chunk
    end: int

    def meets(self, other: _Stretch) -> bool:
        """Whether both stretches are of one document and share a character."""
        same = self.first.document == other.first.document
        return same and self.first.start < other.end and other.first.start < self.end

    def take(self, other: _Stretch) -> None:
        """Merge another stretch into this one."""
        self.first = min(self.first, other.first, key=lambda chunk: chunk.start)
        self.end = max(self.end, other.end)


class Expanded:
    """A retriever that widens the passages of another.

    Args:
        inner: the retriever of the passages.
        table: chunks and documents of the index.
        expansion: extent to which passages are widened.
        neighbours: number of chunks on each side, for `NEIGHBOURS`.
        most_characters: most characters of a widened passage; a passage that is longer by itself stays the same.
    """

    def __init__(
        self,
        inner: Retriever,
        table: ChunkTable,
        *,
        expansion: Expansion = Expansion.NEIGHBOURS,
        neighbours: int = 1,
        most_characters: int = 4000,
    ) -> None:
        self._inner, self._table, self._expansion = inner, table, expansion
        self._neighbours, self._most = neighbours, most_characters

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`; there are fewer passages than wanted where some were merged.

        A document is readable as a whole or not at all, so no neighbour belongs to another group.

        Raises:
            InputError: as the inner retriever.
        """
        found = self._inner.search(request)
        chunks = {one.chunk.document: self._table.document_chunks(one.chunk.document) for one in found.passages}
        stretches: list[_Stretch] = []
        for passage in found.passages:
            self._add(stretches, self._widened(passage, chunks[passage.chunk.document]))
        return replace(found, passages=tuple(self._shown(stretch) for stretch in stretches))

    def _widened(self, passage: Passage, chunks: Sequence[Chunk]) -> _Stretch:
        """Take chunks from both sides in turn while they belong to the passage and there is room."""
        place = next((at for at, chunk in enumerate(chunks) if chunk.id == passage.chunk.id), None)
        if place is None or self._expansion is Expansion.NONE:
            return _Stretch(passage, passage.chunk, passage.chunk.end)
        low = high = place
        end = passage.chunk.end
        grows = True
        while grows:
            grows = False
            for at in (low - 1, high + 1):
                if not self._belongs(chunks, place, at):
                    continue
                start, until = min(chunks[low].start, chunks[at].start), max(end, chunks[at].end)
                if until - start <= self._most:
                    low, high, end, grows = min(low, at), max(high, at), until, True
        return _Stretch(passage, chunks[low], end)

    def _belongs(self, chunks: Sequence[Chunk], place: int, at: int) -> bool:
        if not 0 <= at < len(chunks):
            return False
        if self._expansion is Expansion.SECTION:
            return chunks[at].headings == chunks[place].headings
        return abs(at - place) <= self._neighbours

    def _add(self, stretches: list[_Stretch], new: _Stretch) -> None:
        """Add a stretch, or merge it into the better stretches that it meets."""
        first = next((old for old in stretches if old.meets(new)), None)
        if first is None:
            stretches.append(new)
            return
        first.take(new)
        for other in [old for old in stretches if old is not first and old.meets(first)]:
            first.take(other)
            stretches.remove(other)

    def _shown(self, stretch: _Stretch) -> Passage:
        text = self._table.document_text(stretch.first.document)
        chunk = replace(
            stretch.passage.chunk,
            text=text[stretch.first.start : stretch.end],
            start=stretch.first.start,
            end=stretch.end,
            line=stretch.first.line,
            page=stretch.first.page,
        )
        return replace(stretch.passage, chunk=chunk)
