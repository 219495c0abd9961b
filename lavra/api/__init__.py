"""Floor 8: `lavra.load` and the object it returns."""
