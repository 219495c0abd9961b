"""Floor 10: runs that learn from labelled samples: read, look, train, measure, save."""
