"""Search by words and meaning together."""

from __future__ import annotations

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ContextLengthError
from lavra.base.retrieval import Found, SearchRequest
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.retrievers.arm import NOTHING_ALLOWED, Arm, Candidates, Lookup, passages
from lavra.rag.retrievers.config import Fusion, RetrievalConfig
from lavra.rag.retrievers.fusion import fuse_ranks, fuse_scores


class HybridRetriever:
    """A retriever that asks two arms and fuses their candidates.

    Args:
        table: the chunks.
        words: the arm of words.
        dense: the arm of meaning.
        config: settings of the fusion.
    """

    def __init__(self, table: ChunkTable, words: Arm, dense: Arm, config: RetrievalConfig | None = None) -> None:
        self._table, self._config = table, config or RetrievalConfig()
        self._words, self._dense = words, dense

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`.

        A question longer than the embedder reads is searched for by its words alone, with a warning.

        Raises:
            InputError: as `Lookup.of`.
        """
        lookup = Lookup.of(self._table, request, max(self._config.depth, request.k))
        if not len(lookup.allowed):
            return Found(passages=(), warnings=(NOTHING_ALLOWED,))
        found = self._ask(lookup)
        ids, scores = self._fuse(found)
        warnings = tuple(warning for one in found.values() for warning in one.warnings)
        return Found(passages=passages(self._table, ids[: request.k], scores[: request.k], found), warnings=warnings)

    def _ask(self, lookup: Lookup) -> dict[str, Candidates]:
        """Ask each arm for candidates; an arm of weight 0 is not asked."""
        by_weight = self._config.fusion is Fusion.WEIGHTS
        found = {}
        if not by_weight or self._config.dense_weight < 1:
            found[self._words.name] = self._words.candidates(lookup)
        if not by_weight or self._config.dense_weight > 0:
            try:
                found[self._dense.name] = self._dense.candidates(lookup)
            except ContextLengthError as error:
                warning = f"the question was searched for by its words alone: {error}"
                found[self._words.name] = self._words.candidates(lookup)
                found[self._dense.name] = Candidates(ids=lookup.allowed[:0], scores=np.zeros(0), warnings=(warning,))
        return found

    def _fuse(self, found: dict[str, Candidates]) -> tuple[Int64s, Float64s]:
        if self._config.fusion is Fusion.RANKS:
            return fuse_ranks(list(found.values()), self._config.rank_constant)
        weights = {self._words.name: 1 - self._config.dense_weight, self._dense.name: self._config.dense_weight}
        return fuse_scores(list(found.values()), [weights[name] for name in found])
