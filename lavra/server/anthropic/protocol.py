"""Anthropic's protocol as the application includes it."""

from __future__ import annotations

from typing import Final

from lavra.server.anthropic.answers import AnthropicError
from lavra.server.anthropic.messages import messages_router
from lavra.server.anthropic.models import listing_router
from lavra.server.anthropic.objects import write_error
from lavra.server.protocol import Protocol

ANTHROPIC: Final = Protocol(
    routers=(messages_router, listing_router),
    paths=("/v1/messages",),
    write_error=write_error,
    error_answer=AnthropicError,
)
