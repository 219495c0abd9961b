"""Floor 3: prompts as files, filled in, spent within a budget, compared and tested. No torch: models come as ports."""
