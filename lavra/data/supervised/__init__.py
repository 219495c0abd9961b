"""Labelled data: what its files say, sample by sample, and the batches made of it."""
