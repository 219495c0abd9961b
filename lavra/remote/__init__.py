"""Floor 1: clients of models behind a URL that the user names; no request goes out unless the user names a URL."""
