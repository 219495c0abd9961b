"""Rewriting: a question is made understandable alone, or asked in several ways."""

from lavra.rag.rewriting.follow_up import standalone_question

__all__ = ["standalone_question"]
