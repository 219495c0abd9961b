"""Rewriting: a question is made understandable alone, or searched for in several wordings."""
