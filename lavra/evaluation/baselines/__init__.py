"""Honest baselines on the same held-out bytes: n-gram models and compressors."""
