"""Whether a model may have seen a benchmark's items in training: their n-grams are looked up in its training corpus."""
