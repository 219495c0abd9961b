"""Check whether a model may have seen a benchmark's items: their n-grams are looked up in its training corpus."""
