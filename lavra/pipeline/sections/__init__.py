"""The sections of the report, one file each: they render a stage's typed result as a `Section` and compute nothing."""
