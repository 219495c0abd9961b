"""Rewriting: a question is made understandable alone, or searched for in several wordings."""

from lavra.rag.rewriting.follow_up import standalone_question
from lavra.rag.rewriting.several import Hypothetical, MultiQuery

__all__ = ["Hypothetical", "MultiQuery", "standalone_question"]
