"""Chunkers: divide whole documents into chunks, as places in the text; a chunk is embedded and found as a unit."""
