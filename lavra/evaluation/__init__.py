"""Floor 7: what a model is worth on text it never saw, beside honest baselines on the same bytes."""
