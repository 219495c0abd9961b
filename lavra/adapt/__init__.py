"""Floor 5: adapting a model with few parameters: LoRA and similar methods, wrapped around it; sentence encoders."""
