"""The search in postings: BM25, term at a time, in NumPy.

The score of a chunk is the sum over the question's terms of

    idf(t) · tf / (tf + k1 · (1 - b + b · length / mean length)),    idf(t) = ln(1 + (N - df + 1/2) / (df + 1/2))

(Robertson and Zaragoza 2009, with Lucene's idf).  Where only some chunks are allowed, N, df and the mean length are
those of the allowed chunks: a word in a chunk that the user may not read changes neither the results nor any score.
bm25s and its kin store each term's share ready-made, over all chunks, which is why they are not used here.

Deliberately absent: compressed postings, and positions of words (there is no search for phrases).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s, Int32s, Int64s
from lavra.base.errors import InputError
from lavra.rag.bm25.config import Bm25Config, Weighting
from lavra.rag.bm25.files import Columns, open_columns
from lavra.rag.words import Analyzer

TermCounts = npt.NDArray[np.uint16] | Int32s
_Term = tuple[float, Int32s, TermCounts]
"""The weight of a term, the rows of its chunks, and its count in each."""
_FEW: Final = 8  # times k chunks: with fewer, a search for chunks that can be left out does not pay
_OFTEN: Final = 16  # a term in more than a sixteenth of the chunks makes that search pay


class Postings:
    """The postings of an index; used by many threads.

    Attributes:
        columns: the files, memory-mapped.
        config: settings of BM25.
        analyzer: turns questions into terms, as it did the chunks.
    """

    def __init__(self, columns: Columns, config: Bm25Config, analyzer: Analyzer) -> None:
        self.columns, self.config, self.analyzer = columns, config, analyzer
        self._num_terms = int(np.sum(columns.lengths, dtype=np.int64))

    @classmethod
    def open(cls, folder: Path) -> Postings:
        """Open the postings of a folder, memory-mapped.

        Raises:
            InputError: the folder has no postings, or postings of another version, or damaged postings.
        """
        columns, config, languages = open_columns(folder)
        return cls(columns, config, Analyzer(languages))

    def __len__(self) -> int:
        """The number of chunks, those without any term included."""
        return len(self.columns.ids)

    def search(self, query: str, k: int, allowed: npt.NDArray[np.int64] | None = None) -> tuple[Int64s, Float64s]:
        """Find at most k chunks that share a term with the query: their numbers and scores, the best first.

        Equal scores are ordered by number.

        Args:
            query: search text, in a person's words.
            k: most chunks wanted.
            allowed: numbers of the only chunks that are searched and counted; all chunks where it is `None`.

        Raises:
            InputError: k is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; ask for at least 1 passage")
        mask = None if allowed is None else np.isin(self.columns.ids, allowed)
        rows, scores = self._scored(query, mask, k)
        best = best_places(scores, k)
        return np.asarray(self.columns.ids[rows[best]]), scores[best]

    def _scored(self, query: str, mask: npt.NDArray[np.bool_] | None, k: int) -> tuple[Int64s, Float64s]:
        """Score the rows that may be among the best k: rows, rising, and their scores; 0 where no term is shared.

        Terms come by falling weight; a term's weight is more than it can add to any score.  Once the weights still
        to come add up to less than the kth best score so far, only chunks that can still reach it are scored
        (MaxScore, Turtle and Flood 1995): words that nearly every chunk has then cost little.
        """
        lengths = self.columns.lengths
        count = len(lengths) if mask is None else int(mask.sum())
        total = self._num_terms if mask is None else int(np.sum(lengths[mask], dtype=np.int64))
        rows, scores = np.arange(len(lengths)), np.zeros(len(lengths))
        if not total:
            return rows, scores
        k1, b = self.config.k1, self.config.b
        brake = k1 * (1 - b) + (k1 * b * count / total) * lengths  # (N,)
        terms = self._weighed(query, mask, count)
        to_come = np.cumsum([weight for weight, _, _ in terms][::-1])[::-1]
        for place, (weight, term_rows, tf) in enumerate(terms):
            if len(rows) > _FEW * k and len(term_rows) > len(rows) // _OFTEN:
                within = _reachable(scores, float(to_come[place]), k)
                if within is not None:
                    rows, scores, brake = rows[within], scores[within], brake[within]
            if len(rows) < len(lengths):
                kept, found = _shared(rows, term_rows)
                scores[kept] += weight * tf[found] / (tf[found] + brake[kept])
            else:
                scores[term_rows] += weight * tf / (tf + brake[term_rows])  # each row of a term occurs once
        return rows, scores

    def _weighed(self, query: str, mask: npt.NDArray[np.bool_] | None, count: int) -> list[_Term]:
        """The distinct terms of a question that an allowed chunk has, by falling weight."""
        factor = self.config.k1 + 1 if self.config.weighting is Weighting.ROBERTSON else 1.0
        found = []
        for term, times in sorted(Counter(self.analyzer.query_words(query)).items()):
            rows, tf = self._term(term, mask)
            if len(rows):
                idf = float(np.log1p((count - len(rows) + 0.5) / (len(rows) + 0.5)))
                found.append((factor * times * idf, rows, tf))
        return sorted(found, key=lambda term: -term[0])

    def _term(self, term: str, mask: npt.NDArray[np.bool_] | None) -> tuple[Int32s, TermCounts]:
        """The rows of the allowed chunks that have a term, rising, and the count of the term in each."""
        number = self.columns.find(term)
        span = slice(0, 0)
        if number is not None:
            span = slice(int(self.columns.starts[number]), int(self.columns.starts[number + 1]))
        rows: Int32s = np.asarray(self.columns.rows[span])
        counts: Any = np.asarray(self.columns.counts[span])
        if mask is None:
            return rows, counts
        kept = mask[rows]
        return rows[kept], counts[kept]


def _reachable(scores: Float64s, to_come: float, k: int) -> Int64s | None:
    """The places whose score can still come among the best k; `None` where any place may."""
    above = scores[scores > 0]
    if len(above) <= k:
        return None
    kth = float(np.partition(above, len(above) - k)[len(above) - k])
    bound = kth - to_come * (1 + 1e-9)  # a little lower, because sums are rounded
    return np.flatnonzero(scores >= bound) if bound > 0 else None


def _shared(rows: Int64s, term_rows: Int32s) -> tuple[Int64s, Int64s]:
    """The places of the common elements in two rising lists."""
    places = np.searchsorted(term_rows, rows)
    places[places == len(term_rows)] = 0
    kept = np.flatnonzero(term_rows[places] == rows)
    return kept, places[kept]


def best_places(scores: Float64s, k: int) -> Int64s:
    """(≤ k,) places of the highest of (N,) scores above 0, the highest first, equal ones by place."""
    places = np.flatnonzero(scores > 0)
    if len(places) > k:
        values = scores[places]
        bound = np.partition(values, len(values) - k)[len(values) - k]
        places = places[values >= bound]
    best: Int64s = places[np.argsort(-scores[places], kind="stable")][:k]
    return best
