"""Floor 3: one Transformer core, five thin families, checkpoints that Hugging Face's libraries open."""
