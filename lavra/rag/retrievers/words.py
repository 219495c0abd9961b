"""The arm of words: BM25."""

from __future__ import annotations

from typing import Final

from lavra.base.retrieval import Found, SearchRequest
from lavra.rag.bm25.postings import Postings
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.retrievers.arm import Candidates, Lookup, search_one

NO_WORDS: Final = "the question has no word or number, so words were not searched for"


class WordRetriever:
    """A retriever of passages that share words with the question.

    Args:
        table: the chunks.
        postings: words of the chunks, of the same moment as the table.
    """

    name = "bm25"

    def __init__(self, table: ChunkTable, postings: Postings) -> None:
        self._table, self._postings = table, postings

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`; a passage shares at least one word with the question.

        Raises:
            InputError: as `Lookup.of`.
        """
        return search_one(self._table, self, request)

    def candidates(self, lookup: Lookup) -> Candidates:
        """See `Arm.candidates`."""
        ids, scores = self._postings.search(lookup.query, lookup.depth, lookup.allowed if lookup.where else None)
        wordless = not len(ids) and not self._postings.analyzer.query_words(lookup.query)
        return Candidates(ids=ids, scores=scores, warnings=(NO_WORDS,) if wordless else ())
