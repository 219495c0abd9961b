"""Floor 7: what a model is worth: benchmarks and human studies over the `LanguageModel` port, and baselines."""
