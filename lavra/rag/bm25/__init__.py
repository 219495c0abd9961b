"""BM25 over chunks: postings in memory-mapped files, and the search in them."""
