"""Floor 6: one file a task: its samples, requests, answers and scores."""
