"""The arm of meaning: vectors of question and passages, compared by their cosine."""

from __future__ import annotations

import numpy as np

from lavra.base.arrays import Float32s, Float64s, Int64s
from lavra.base.errors import InputError
from lavra.base.ports import Embedder, VectorStore
from lavra.base.retrieval import Found, SearchRequest
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.retrievers.arm import Candidates, Lookup, search_one


class DenseRetriever:
    """A retriever of the passages whose vectors are nearest to the question's.

    Args:
        table: the chunks.
        store: vectors of the chunks, of the same moment as the table.
        embedder: embeds the question, in the space of the store's vectors.
    """

    name = "dense"

    def __init__(self, table: ChunkTable, store: VectorStore, embedder: Embedder) -> None:
        self._table, self._store, self._embedder = table, store, embedder

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`.

        Raises:
            InputError: as `Lookup.of`; or the embedder's vector cannot be compared.
            ContextLengthError: the question is longer than the embedder reads.
        """
        return search_one(self._table, self, request)

    def candidates(self, lookup: Lookup) -> Candidates:
        """See `Arm.candidates`; a chunk that the store should not have found is left out, with a warning."""
        vector = query_vector(self._embedder, lookup.query)
        found, products = self._store.search(vector[None], min(lookup.depth, len(lookup.allowed)), lookup.where)
        ids, scores = found[0][found[0] >= 0], products[0][found[0] >= 0].astype(np.float64)
        right = _among(ids, lookup.allowed)
        wrong = int((~right).sum())
        warnings = (
            f"the vector store gave {wrong} passages that are not in the index or may not be shown; they were left out",
        )
        order = np.lexsort((ids[right], -scores[right]))
        return Candidates(
            ids=ids[right][order], scores=_plain(scores[right][order]), warnings=warnings if wrong else ()
        )


def query_vector(embedder: Embedder, query: str) -> Float32s:
    """Compute the direction of a question, (D,), of length 1.

    Raises:
        InputError: the vector is not finite, or has no direction.
    """
    vector: Float32s = np.asarray(embedder.embed([query]), dtype=np.float32)[0]
    length = float(np.linalg.norm(vector))
    if not 0 < length < float("inf"):
        raise InputError(f"the vector of the question has length {length}; the encoder is broken, or not trained")
    return vector / np.float32(length)


def _among(ids: Int64s, allowed: Int64s) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each id is among the allowed ids, which rise."""
    places = np.searchsorted(allowed, ids)
    inside = places < len(allowed)
    inside[inside] = allowed[places[inside]] == ids[inside]
    return inside


def _plain(scores: Float64s) -> Float64s:
    """Clip products of unit vectors to 1, which rounding may exceed."""
    return np.clip(scores, -1.0, 1.0)
