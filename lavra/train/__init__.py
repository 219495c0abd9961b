"""Floor 4: the one training loop, its optimizers, schedules, checkpoints and parallelism."""
