"""Floor 14: the command line. One verb a file, each parse → call → print; `main` loads only the verb asked for."""
