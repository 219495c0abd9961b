"""Arms of search (words, meaning), their fusion, and the stages behind it, all behind the port `Retriever`."""
