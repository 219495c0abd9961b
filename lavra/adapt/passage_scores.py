"""Scores of every passage of a collection for a query: by vectors, and by words (BM25).

Hard negatives are mined from such scores and retrieval is measured by them, so one class of scores serves both.
Passages are compared as texts: equal texts are one passage.  Every passage is scored, without approximation; an index
for millions of passages is not here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import InputError

Embed = Callable[[Sequence[str]], Float32s]
"""N texts -> (N, D) vectors: the `embed` of an `Embedder` or of a loaded model."""

_QUERIES = 256  # scored at a time, which bounds the matrix of scores


class PassageScores(Protocol):
    """A score for each passage of a collection."""

    @property
    def passages(self) -> tuple[str, ...]:
        """P different texts."""
        ...

    def scores(self, queries: Sequence[str]) -> npt.NDArray[np.floating]:
        """Scores (Q, P), higher fits better; only the order within a row has a meaning."""
        ...


class VectorScores:
    """The cosine of the query's vector and the passage's.

    Args:
        embed: function that makes vectors, such as `lavra.load(…).embed`.
        passages: any number of texts; equal texts count once.
        size: number of first entries of each vector that are used (Matryoshka); None uses all.

    Raises:
        InputError: there are no passages, vectors are shorter than `size`, or a vector is not finite.
    """

    def __init__(self, embed: Embed, passages: Sequence[str], *, size: int | None = None) -> None:
        self.passages = _distinct(passages)
        self._embed, self._size = embed, size
        self._vectors = self._directions(self.passages)  # (P, D)

    def scores(self, queries: Sequence[str]) -> Float32s:
        """Cosines (Q, P), to six digits: a smaller difference comes from rounding, and counts as equal."""
        cosines: Float32s = np.round(self._directions(queries) @ self._vectors.T, 6)
        return cosines

    def _directions(self, texts: Sequence[str]) -> Float32s:
        """(N, D) vectors of length 1."""
        vectors = np.asarray(self._embed(texts), dtype=np.float32)
        size = vectors.shape[1] if self._size is None else self._size
        if not 1 <= size <= vectors.shape[1]:
            raise InputError(f"size is {size} and vectors have {vectors.shape[1]} numbers; give 1 to that many")
        vectors = vectors[:, :size]
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            text = texts[int(np.argmin(finite))]
            raise InputError(f"the vector of {text[:60]!r} is not finite; the model is broken, or diverged in training")
        directions: Float32s = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return directions


class Bm25Scores:
    """BM25 (Robertson & Zaragoza 2009) in Lucene's form, by bm25s (Lù 2024, arXiv:2407.03618).

    Words are lowercased runs of letters and digits, and the parts of snake_case and camelCase names.  No word is left
    out or stemmed, because BM25 itself makes little of frequent words.  In scripts without spaces a run is a whole
    clause, and BM25 is a weak opponent there.

    Args:
        passages: any number of texts; equal texts count once.
        k1: saturation; with a smaller value, further occurrences of a word count for less.
        b: strength of the penalty for long passages.

    Raises:
        InputError: there are no passages.
    """

    def __init__(self, passages: Sequence[str], *, k1: float = 1.5, b: float = 0.75) -> None:
        self.passages = _distinct(passages)
        import bm25s  # noqa: PLC0415 - brings scipy, which nothing else here needs

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets DEBUG itself, and logs every index
        self._index = bm25s.BM25(method="lucene", k1=k1, b=b)
        # The empty word gives a collection without any words a vocabulary.
        self._index.index([words(passage) or [""] for passage in self.passages], show_progress=False)

    def scores(self, queries: Sequence[str]) -> Float32s:
        """BM25 scores (Q, P); 0 where query and passage share no word."""
        rows = np.zeros((len(queries), len(self.passages)), dtype=np.float32)
        for row, query in zip(rows, queries, strict=True):
            found = words(query)
            if found:
                row[:] = self._index.get_scores(found)
        return rows


def words(text: str) -> list[str]:
    """The words of a text as BM25 counts them.

    >>> words("def readJSON_file(path2): ...")
    ['def', 'read', 'json', 'file', 'path2']
    """
    return [part.lower() for run in _RUN.findall(text) for part in (_PART.findall(run) if run.isascii() else [run])]


_RUN = re.compile(r"[^\W_]+")
# An acronym before a capitalised word, a word with at most one capital, capitals alone; with the digits behind.
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+")


def best_places(scores: npt.NDArray[np.floating], count: int) -> Int64s:
    """Places (≤ count,) of the highest of (P,) scores, highest first, equal scores by place."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    bound = np.partition(scores, len(scores) - count)[len(scores) - count]
    places = np.flatnonzero(scores >= bound)
    best: Int64s = places[np.argsort(-scores[places], kind="stable")][:count]
    return best


def scored_queries(searched: PassageScores, queries: Sequence[str]) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
    """Yield the number of each query and its (P,) scores; a few queries are computed at a time.

    Raises:
        InputError: a score is not a number.
    """
    for first in range(0, len(queries), _QUERIES):
        part = queries[first : first + _QUERIES]
        rows = searched.scores(part)
        if np.isnan(rows).any():
            at = int(np.isnan(rows).any(axis=1).argmax())
            raise InputError(f"query {part[at][:60]!r} has scores that are not numbers; see to what scores passages")
        yield from enumerate(rows, start=first)


def places_of(passages: Sequence[str]) -> dict[str, int]:
    """The place of each text among the passages."""
    return {passage: place for place, passage in enumerate(passages)}


def _distinct(passages: Sequence[str]) -> tuple[str, ...]:
    if isinstance(passages, str):
        raise InputError("passages are a list of texts; wrap the one text in a list")
    if not passages:
        raise InputError("there are no passages; give at least one")
    return tuple(dict.fromkeys(passages))
