"""Cohere's second API, as far as it is about texts and vectors: https://docs.cohere.com/v2/reference."""
