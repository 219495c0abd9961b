"""Rerankers: passages found by a search are read together with the query and put in a better order."""
