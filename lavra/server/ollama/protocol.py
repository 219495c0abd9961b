"""Ollama's protocol as the application includes it."""

from __future__ import annotations

from typing import Final

from lavra.server.ollama.answers import OllamaError
from lavra.server.ollama.chat import ollama_chat_router
from lavra.server.ollama.embed import ollama_embedding_router
from lavra.server.ollama.library import library_router
from lavra.server.ollama.objects import write_error
from lavra.server.protocol import Protocol

OLLAMA: Final = Protocol(
    routers=(ollama_chat_router, ollama_embedding_router, library_router),
    paths=("/api/",),
    any_type=True,  # Ollama's documentation sends bodies by `curl -d`
    write_error=write_error,
    error_answer=OllamaError,
)
