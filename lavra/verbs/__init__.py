"""Floor 14: the verbs as functions: the functions of `import lavra`, which the command line calls too."""
