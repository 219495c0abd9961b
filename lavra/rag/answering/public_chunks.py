"""The chunks of an index that everybody may read: calibration uses only them, so that no threshold reveals others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.retrieval import Chunk, Where
from lavra.rag.chunk_table import ChunkTable, readable_by

NOBODY: Final[frozenset[str]] = frozenset()
"""The groups of a person without any group, who reads only public documents."""


class PublicChunks:
    """A `ChunkTable` of the chunks that everybody may read.

    Args:
        table: the chunk table of the whole index.
    """

    def __init__(self, table: ChunkTable) -> None:
        self._table = table

    def ids(self, where: Where = ()) -> npt.NDArray[np.int64]:
        """See `ChunkTable.ids`."""
        return self._table.ids((*where, *readable_by(NOBODY)))

    def chunks(self, ids: Sequence[int]) -> list[Chunk]:
        """See `ChunkTable.chunks`."""
        return self._table.chunks(ids)

    def document_text(self, name: str) -> str:
        """See `ChunkTable.document_text`."""
        return self._table.document_text(name)

    def documents(self) -> list[str]:
        """See `ChunkTable.documents`."""
        ids = self.ids().tolist()
        names: set[str] = set()
        for first in range(0, len(ids), 1000):  # in parts: reading a chunk also reads its text
            names.update(chunk.document for chunk in self._table.chunks(ids[first : first + 1000]))
        return sorted(names)

    def document_chunks(self, name: str) -> list[Chunk]:
        """See `ChunkTable.document_chunks`."""
        allowed = set(self.ids().tolist())
        return [chunk for chunk in self._table.document_chunks(name) if chunk.id in allowed]
