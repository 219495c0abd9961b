"""Floor 4: smaller weights: INT8 and INT4 modules put in the place of float ones, and the folders they are saved in."""
