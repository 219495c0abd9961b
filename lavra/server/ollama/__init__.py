"""Ollama's API: `/api/chat`, `/api/generate`, `/api/embed`, and the list of models.

Answers are lines of JSON unless `stream` is false (https://github.com/ollama/ollama/blob/main/docs/api.md).
  They name the models of this server in Ollama's form (`mine:latest`).
  Absent: pulling, making and deleting models, images, and templates in Go's notation.
"""
