"""Maximal marginal relevance (Carbonell and Goldstein 1998): passages that fit, and differ from one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.errors import ConfigError
from lavra.base.ports import Retriever
from lavra.base.retrieval import Found, Passage, SearchRequest
from lavra.rag.retrievers.arm import check_request
from lavra.rag.retrievers.fusion import scale
from lavra.rag.words import Analyzer

DEPTH: Final = 4  # number of candidate passages for each passage wanted

Likeness = Callable[[Sequence[str]], Float64s]
"""A function that gives the likeness of texts, (N, N), from 0 to 1."""


class Diverse:
    """A retriever that chooses among passages, each time the passage with the greatest λ · fit - (1 - λ) · likeness.

    Fit is a passage's scaled score; likeness is its greatest likeness to a passage chosen before.

    Args:
        inner: the retriever of the passages.
        likeness: function of the likeness of texts; `word_likeness` needs no model.
        relevance: λ, from 0 to 1.

    Raises:
        ConfigError: λ is not from 0 to 1.
    """

    def __init__(self, inner: Retriever, likeness: Likeness, *, relevance: float = 0.7) -> None:
        if not 0 <= relevance <= 1:
            raise ConfigError(f"relevance is {relevance}; it must be from 0 to 1")
        self._inner, self._likeness, self._relevance = inner, likeness, relevance

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`.

        Raises:
            InputError: as the inner retriever.
        """
        check_request(request)
        found = self._inner.search(replace(request, k=DEPTH * request.k))
        return replace(found, passages=self._chosen(found.passages, request.k))

    def _chosen(self, passages: tuple[Passage, ...], k: int) -> tuple[Passage, ...]:
        fit = scale(np.array([passage.score for passage in passages]))
        alike = self._likeness([passage.chunk.text for passage in passages])  # (N, N)
        nearest = np.zeros(len(passages))
        left = np.ones(len(passages), dtype=bool)
        chosen: list[Passage] = []
        while left.any() and len(chosen) < k:
            gain = np.where(left, self._relevance * fit - (1 - self._relevance) * nearest, -np.inf)
            place = int(gain.argmax())  # the first of equal passages, which stood higher before
            chosen.append(replace(passages[place], score=float(gain[place])))
            left[place] = False
            nearest = np.maximum(nearest, alike[place])
        return tuple(chosen)


def word_likeness(analyzer: Analyzer) -> Likeness:
    """The cosine of two texts' sets of words."""

    def likeness(texts: Sequence[str]) -> Float64s:
        sets = [set(analyzer.words(text)) for text in texts]
        shared = np.array([[len(one & other) for other in sets] for one in sets], dtype=np.float64)
        sizes = np.array([max(1, len(one)) for one in sets], dtype=np.float64)
        return shared.reshape(len(texts), len(texts)) / np.sqrt(sizes[:, None] * sizes)

    return likeness
