"""Floor 12: one list of checks that find a run's problems before hours are spent on it."""
