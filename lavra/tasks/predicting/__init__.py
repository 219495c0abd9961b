"""The answers of tasks: from texts to logits to predictions."""
