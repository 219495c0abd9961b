"""Floor 8: the HTTP edge: OpenAI's protocol over an engine, one module a group of endpoints, and a chat page."""

from lavra.serve.app import build_app
from lavra.serve.config import ServeConfig
from lavra.serve.served import ModelTable, ServedModel

__all__ = ["ModelTable", "ServeConfig", "ServedModel", "build_app"]
