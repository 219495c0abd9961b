"""The rarity of words among the chunks that a question may see.

A word's weight is its inverse document frequency (Robertson and Spärck Jones 1976) over at most `SAMPLE` chunks, evenly
spread over those that the conditions let through.  Chunks that the asker may not read are not counted, so that weights
reveal nothing of them.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import numpy as np

from lavra.base.retrieval import Where
from lavra.rag.answering.asked import COMMON_WORDS
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.words import Analyzer, runs

SAMPLE: Final = 4000
_KEPT: Final = 16  # number of sets of conditions whose counts are kept

AskedWord = frozenset[str]
"""The terms of one word of a question, as each language of the corpus stems it, whole and in parts; any counts."""


class Rarity:
    """Weights of words for one set of chunks.

    Args:
        counts: the number of chunks that have each term.
        total: number of chunks counted.
    """

    def __init__(self, counts: Mapping[str, int], total: int) -> None:
        self._counts, self._total = counts, total

    def weight(self, word: AskedWord) -> float:
        """The weight of a word: about 0 where nearly every chunk has it, and higher the rarer it is."""
        count = max((self._counts.get(term, 0) for term in word), default=0)
        return math.log(1 + (self._total - count + 0.5) / (count + 0.5))

    def coverage(self, asked: Collection[AskedWord], given: Collection[str]) -> float:
        """The share of a question's words that are among some terms, by weight, from 0 to 1."""
        there = frozenset(given)
        total = math.fsum(self.weight(word) for word in asked)
        return math.fsum(self.weight(word) for word in asked if word & there) / total if total else 0.0


class Rarities:
    """Weights of words of an index by the conditions of a question; the last few are kept.

    Args:
        table: the chunk table of the index.
        analyzer: turns texts into terms.
    """

    def __init__(self, table: ChunkTable, analyzer: Analyzer) -> None:
        self._table, self._analyzer = table, analyzer
        self._kept: OrderedDict[Where, Rarity] = OrderedDict()

    def of(self, where: Where) -> Rarity:
        """The weights among the chunks that meet conditions.

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
            counts.update(set(self._analyzer.words(chunk.text, str(chunk.meta.get("language", "")))))
        self._kept[where] = Rarity(counts, len(taken))
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[where]


def asked_words(question: str, analyzer: Analyzer) -> list[AskedWord]:
    """The words of a question that carry its topic; all its words where none does."""
    every = runs(question)
    return _analysed([word for word in every if word.casefold() not in COMMON_WORDS], analyzer) or _analysed(
        every, analyzer
    )


def _analysed(words: Iterable[str], analyzer: Analyzer) -> list[AskedWord]:
    found = (frozenset(analyzer.query_words(word)) for word in words)
    return list(dict.fromkeys(terms for terms in found if terms))
