"""People judge what models wrote: studies with rating scales and blind side-by-side comparisons.

`study` plans one, `store` keeps it in one SQLite file, `results` reads it.  The page that people see is
`lavra.server.rating`.
"""
