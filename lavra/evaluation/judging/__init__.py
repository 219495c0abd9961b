"""Models that judge answers: by a rubric or pair by pair, and how far people agree with them."""
