"""The sections of the report, one file each: a stage's typed result in, a `Section` out; nothing is computed here."""
