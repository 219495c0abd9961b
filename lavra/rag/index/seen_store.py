"""A vector store as one generation sees it: chunks that a writer has added or not yet removed are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import InputError
from lavra.base.ports import VectorStore
from lavra.base.retrieval import MetaValue, Where
from lavra.rag.index.table import DiskChunks

_Flags = npt.NDArray[np.bool_]


class SeenStore:
    """A `VectorStore` that only searches.

    Args:
        store: holds the generation's chunks, and perhaps others.
        table: the chunks of the generation.
    """

    def __init__(self, store: VectorStore, table: DiskChunks) -> None:
        self._store = store
        self._table = table
        self._ids = table.ids()

    def search(self, queries: Float32s, k: int, where: Where = ()) -> tuple[Int64s, Float32s]:
        """See `VectorStore.search`; where hidden chunks are among the nearest, it asks for more until k are left."""
        wanted = k
        while True:
            ids, products = self._store.search(queries, wanted, where)
            seen = self._sees(ids)
            if bool((seen | (ids < 0)).all()):
                return ids[:, :k], products[:, :k]
            enough = seen.sum(axis=1) >= k
            ended = ids[:, -1] < 0
            if bool((enough | ended).all()):
                return _first(ids, products, seen, k)
            wanted *= 2

    def _sees(self, ids: Int64s) -> _Flags:
        if not len(self._ids):
            return np.zeros(ids.shape, dtype=bool)
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        seen: _Flags = self._ids[places] == ids
        return seen

    def count(self, where: Where = ()) -> int:
        """See `VectorStore.count`."""
        return len(self._table.ids(where))

    def add(self, ids: Int64s, vectors: Float32s, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """Refuse: documents are added by updating the index."""
        raise InputError("an index that was opened is only read; update it with `lavra index`")

    def delete(self, ids: Int64s) -> None:
        """Refuse: documents are removed by updating the index."""
        raise InputError("an index that was opened is only read; update it with `lavra index`")


def _first(ids: Int64s, products: Float32s, seen: _Flags, k: int) -> tuple[Int64s, Float32s]:
    """The first k visible chunks of each row, in their order."""
    found = np.full((len(ids), k), -1, dtype=np.int64)
    scores = np.full((len(ids), k), -np.inf, dtype=np.float32)
    for row in range(len(ids)):
        places = np.flatnonzero(seen[row])[:k]
        found[row, : len(places)] = ids[row, places]
        scores[row, : len(places)] = products[row, places]
    return found, scores
