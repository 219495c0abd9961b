"""The search in postings: BM25, term at a time, in NumPy.

The score of a chunk is the sum over the question's terms of

    idf(t) · tf / (tf + k1 · (1 - b + b · length / mean length)),    idf(t) = ln(1 + (N - df + 1/2) / (df + 1/2))

(Robertson and Zaragoza 2009, with Lucene's idf).  Where only some chunks are allowed, N, df and the mean length are
those of the allowed chunks: a word in a chunk that the user may not read changes neither what is found nor any score.
bm25s and its kin store each term's share ready-made, over all chunks, which is why they are not used here.

Deliberately absent: skipping of chunks that cannot reach the first k (MaxScore, WAND); a hundred thousand chunks are
searched in a few milliseconds without it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s, Int32s, Int64s
from lavra.base.errors import InputError
from lavra.rag.bm25.config import Bm25Config, Weighting
from lavra.rag.bm25.files import Columns, open_columns
from lavra.rag.words import Analyzer


class Postings:
    """Postings that were written; used by many threads.

    Attributes:
        columns: the files, memory-mapped.
        config: of BM25.
        analyzer: makes terms of questions, as it did of the chunks.
    """

    def __init__(self, columns: Columns, config: Bm25Config, analyzer: Analyzer) -> None:
        self.columns, self.config, self.analyzer = columns, config, analyzer
        self._num_terms = int(np.sum(columns.lengths, dtype=np.int64))

    @classmethod
    def open(cls, folder: Path) -> Postings:
        """The postings of a folder, memory-mapped.

        Raises:
            InputError: the folder has none, or ones of another version, or damaged ones.
        """
        columns, config, languages = open_columns(folder)
        return cls(columns, config, Analyzer(languages))

    def __len__(self) -> int:
        """Chunks, those without any term included."""
        return len(self.columns.ids)

    def search(self, query: str, k: int, allowed: npt.NDArray[np.int64] | None = None) -> tuple[Int64s, Float64s]:
        """At most k chunks that share a term with the query: their numbers and scores, the best first.

        Equal scores are ordered by number.

        Args:
            query: in a person's words.
            k: most chunks wanted.
            allowed: numbers of the only chunks that are looked at and counted; all where it is `None`.

        Raises:
            InputError: k is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; ask for at least 1 passage")
        mask = None if allowed is None else np.isin(self.columns.ids, allowed, assume_unique=False)
        scores = self._scores(query, mask)
        rows = best_rows(scores, k)
        return np.asarray(self.columns.ids[rows]), scores[rows]

    def _scores(self, query: str, mask: npt.NDArray[np.bool_] | None) -> Float64s:
        """(N,) scores; 0 where no term is shared or the chunk is not allowed."""
        lengths = self.columns.lengths
        count = len(lengths) if mask is None else int(mask.sum())
        scores = np.zeros(len(lengths))
        total = self._num_terms if mask is None else int(np.sum(lengths[mask], dtype=np.int64))
        if not total:
            return scores
        k1, b = self.config.k1, self.config.b
        brake = k1 * (1 - b) + (k1 * b * count / total) * lengths  # (N,)
        factor = k1 + 1 if self.config.weighting is Weighting.ROBERTSON else 1.0
        for term, times in Counter(self.analyzer.query_words(query)).items():
            rows, tf = self._term(term, mask)
            if len(rows):
                idf = np.log1p((count - len(rows) + 0.5) / (len(rows) + 0.5))
                scores[rows] += (factor * times * idf) * tf / (tf + brake[rows])  # rows of a term differ
        return scores

    def _term(self, term: str, mask: npt.NDArray[np.bool_] | None) -> tuple[Int32s, npt.NDArray[np.uint16] | Int32s]:
        """Rows of the allowed chunks that have a term, and how often each has it."""
        number = self.columns.find(term)
        if number is None:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        span = slice(int(self.columns.starts[number]), int(self.columns.starts[number + 1]))
        rows, counts = np.asarray(self.columns.rows[span]), np.asarray(self.columns.counts[span])
        if mask is None:
            return rows, counts
        kept = mask[rows]
        return rows[kept], counts[kept]


def best_rows(scores: Float64s, k: int) -> Int64s:
    """(≤ k,) places of the highest of (N,) scores above 0, the highest first, equal ones by place."""
    places = np.flatnonzero(scores > 0)
    if len(places) > k:
        values = scores[places]
        bound = np.partition(values, len(values) - k)[len(values) - k]
        places = places[values >= bound]
    best: Int64s = places[np.argsort(-scores[places], kind="stable")][:k]
    return best
