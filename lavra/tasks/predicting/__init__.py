"""How tasks are asked: from texts to logits to predictions."""
