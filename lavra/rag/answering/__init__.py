"""Answers made from passages: packing, quoting, writing, citing, and saying that the documents do not have it."""
