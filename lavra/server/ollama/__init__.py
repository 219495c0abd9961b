"""Ollama's API: `/api/chat`, `/api/generate`, `/api/embed`, and what is served.

Answers are lines of JSON unless `stream` is false (https://github.com/ollama/ollama/blob/main/docs/api.md).  Models
are the ones of this server under Ollama's names (`mine:latest`).  Absent: pulling, making and deleting models, images,
and templates in Go's notation.
"""
