"""Task files of lm-evaluation-harness: read, resolved, and turned into items."""
