"""Floor 1: scores of predictions, in NumPy: the numbers of peer libraries, with intervals and paired tests."""
