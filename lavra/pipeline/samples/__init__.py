"""Samples to be taught from, one file a kind: what a document says itself, as question and answer or as a pair.

`sample` has the two types, `passages` cuts prose, `asking` has the words of questions; each other file makes one kind.
"""
