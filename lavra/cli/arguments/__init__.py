"""What each verb takes: its help, examples, flags and settings. No torch, so that a wrong flag answers at once."""
