"""Readers: read files of every kind and give documents."""
