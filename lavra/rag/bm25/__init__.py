"""BM25 over chunks: postings in memory-mapped files, and the search in them."""

from lavra.rag.bm25.config import Bm25Config, Weighting
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import merge_postings, write_postings

__all__ = ["Bm25Config", "Postings", "Weighting", "merge_postings", "write_postings"]
