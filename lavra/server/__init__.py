"""Floor 8: the HTTP edge: OpenAI's protocol over an engine, one module a group of endpoints, and a chat page."""

from lavra.server.app import build_app
from lavra.server.config import ServeConfig
from lavra.server.served import ModelTable, ServedModel

__all__ = ["ModelTable", "ServeConfig", "ServedModel", "build_app"]
