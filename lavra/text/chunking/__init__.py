"""Chunkers: whole documents in parts that are embedded and found as one, by place, never by copy."""
