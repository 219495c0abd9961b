"""Floor 7: measures the quality of a model: benchmarks and human studies over the `LanguageModel` port, baselines."""
