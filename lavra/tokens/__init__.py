"""Floor 2: tokenizers trained and used, chat templates, text as it streams. No torch."""
