"""Samples for teaching, one file a kind: text of a document as question and answer, or as a pair.

`sample` has the two types, `passages` cuts prose, `asking` has the words of questions; each other file makes one kind.
"""
