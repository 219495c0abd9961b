"""Studies in which people judge answers of models, with rating scales and blind side-by-side comparisons.

`study` plans a study, `store` keeps it in one SQLite file, `results` evaluates it.  `lavra.server.rating` is the page
that people see.
"""
