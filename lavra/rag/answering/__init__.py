"""Answers made from passages: packing, quoting, writing, citing, and the report that the documents have no answer."""
