"""How rare words are among the chunks that a question may see.

A word's weight is its inverse document frequency (Robertson and Spärck Jones 1976) over at most `SAMPLE` chunks, evenly
spread over those that the conditions let through.  Chunks that the asker may not read are not counted, so that weights
tell nothing of them.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from lavra.base.retrieval import Where
from lavra.rag.answering.asked import COMMON_WORDS
from lavra.rag.chunk_table import ChunkTable

SAMPLE: Final = 4000
_KEPT: Final = 16  # sets of conditions whose counts are kept
Analyze = Callable[[str], Sequence[str]]
"""Turns a text into words that can be compared: folded and stemmed."""


class Rarity:
    """Weights of words for one set of chunks.

    Args:
        counts: of how many chunks have each word.
        total: chunks that were looked at.
    """

    def __init__(self, counts: Mapping[str, int], total: int) -> None:
        self._counts, self._total = counts, total

    def weight(self, word: str) -> float:
        """From about 0.5 for a word of half the chunks upwards; a word that no chunk has is the rarest."""
        count = self._counts.get(word, 0)
        return math.log(1 + (self._total - count + 0.5) / (count + 0.5))

    def is_known(self, word: str) -> bool:
        """Whether any chunk that was looked at has the word."""
        return word in self._counts

    def coverage(self, wanted: Iterable[str], given: Iterable[str]) -> float:
        """The share of the wanted words that are given, by weight, from 0 to 1."""
        words, there = set(wanted), set(given)
        total = math.fsum(self.weight(word) for word in words)
        return math.fsum(self.weight(word) for word in words & there) / total if total else 0.0


class Rarities:
    """Weights of words of an index by the conditions of a question; the last few are kept.

    Args:
        table: of the index.
        analyze: turns texts into words.
    """

    def __init__(self, table: ChunkTable, analyze: Analyze) -> None:
        self._table, self._analyze = table, analyze
        self._kept: OrderedDict[Where, Rarity] = OrderedDict()

    def of(self, where: Where) -> Rarity:
        """Weights among the chunks that meet conditions.

        Raises:
            InputError: a condition names a field that no document has.
        """
        if where in self._kept:
            self._kept.move_to_end(where)
            return self._kept[where]
        ids = self._table.ids(where)
        taken = ids[np.linspace(0, len(ids) - 1, SAMPLE).astype(np.int64)] if len(ids) > SAMPLE else ids
        counts: Counter[str] = Counter()
        for chunk in self._table.chunks(taken.tolist()):
            counts.update(set(self._analyze(chunk.text)))
        self._kept[where] = Rarity(counts, len(taken))
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[where]


def asked_words(question: str, analyze: Analyze) -> list[str]:
    """The words of a question that say what it is about, analysed; all of them where it has no others."""
    kept = " ".join(
        word for word in question.split() if word.strip("?!.,;:()[]\"'“”‘’«»¿¡").casefold() not in COMMON_WORDS
    )
    return list(dict.fromkeys(analyze(kept))) or list(dict.fromkeys(analyze(question)))
