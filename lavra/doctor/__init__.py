"""Floor 12: one list of checks: what could go wrong with a run, found before hours are spent on it."""
