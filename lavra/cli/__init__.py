"""Floor 15: the command line. Each verb has a file: parse → call → print; `main` imports only the typed verb."""
