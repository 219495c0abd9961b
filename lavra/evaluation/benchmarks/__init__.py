"""The benchmarks that lavra ships, as task files of lm-evaluation-harness, a folder for each."""
