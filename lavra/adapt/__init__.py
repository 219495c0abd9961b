"""Floor 5: a model made yours with few parameters: LoRA and its kin, put around it from outside; sentence encoders."""
