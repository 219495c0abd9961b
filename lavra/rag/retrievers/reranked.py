"""The stage of a reranker: the first passages are read together with the question and ordered anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lavra.base.errors import ConfigError
from lavra.base.ports import Reranker, Retriever
from lavra.base.retrieval import Found, Passage, SearchRequest
from lavra.rag.retrievers.arm import check_request
from lavra.rag.retrievers.fusion import scale


class Reranked:
    """A retriever that orders another's first passages with a reranker.

    Args:
        inner: the retriever of the passages.
        reranker: reads the first passages.
        depth: number of passages that it reads.
        weight: share of its score against the scaled score of the earlier order, from 0 to 1.

    Raises:
        ConfigError: the weight is not from 0 to 1, or the depth below 1.
    """

    name = "rerank"

    def __init__(self, inner: Retriever, reranker: Reranker, *, depth: int = 20, weight: float = 1.0) -> None:
        if depth < 1 or not 0 <= weight <= 1:
            raise ConfigError(f"depth is {depth} and weight {weight}; they must be at least 1, and from 0 to 1")
        self._inner, self._reranker, self._depth, self._weight = inner, reranker, depth, weight

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`; only passages that the reranker read are given.

        Raises:
            InputError: as the inner retriever; or more passages are wanted than the reranker reads.
        """
        check_request(request)
        found = self._inner.search(replace(request, k=max(self._depth, request.k)))
        if not found.passages:
            return found
        return replace(found, passages=self._ordered(request.query, found.passages)[: request.k])

    def _ordered(self, query: str, passages: tuple[Passage, ...]) -> tuple[Passage, ...]:
        ranked = self._reranker.rerank(query, [passage.chunk.text for passage in passages])
        before = scale(np.array([passage.score for passage in passages]))
        again = [
            replace(
                passages[one.index],
                score=self._weight * one.score + (1 - self._weight) * float(before[one.index]),
                scores={**passages[one.index].scores, self.name: one.score},
            )
            for one in ranked
        ]
        return tuple(sorted(again, key=lambda passage: (-passage.score, passage.chunk.id)))
