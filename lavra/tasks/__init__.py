"""Floor 6: one file a task: what it reads, asks, answers and is judged by."""
