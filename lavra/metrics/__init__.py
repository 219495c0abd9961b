"""Floor 1: scores of predictions, in NumPy: what a peer library counts, with intervals and paired tests."""
