"""Models that judge answers, by a rubric or pair by pair, and their agreement with people."""
