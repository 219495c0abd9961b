"""Cohere's second API, for texts and vectors only: https://docs.cohere.com/v2/reference."""
