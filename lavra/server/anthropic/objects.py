"""The objects Anthropic's clients read: messages, usage, errors."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from lavra.base.types import Usage
from lavra.server import traces
from lavra.server.conversation.events import ChatChoice
from lavra.server.conversation.requests import stops_of
from lavra.server.conversation.run import ChatRun
from lavra.server.streaming import event

# https://docs.anthropic.com/en/api/errors
_ERROR_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def new_message_id() -> str:
    """A unique id, also noted in the request's trace."""
    identity, trace = f"msg_{uuid.uuid4().hex}", traces.current()
    if trace is not None:
        trace.answer_id = identity
    return identity


def message_object(
    identity: str, model: str, content: Sequence[dict[str, Any]], usage: dict[str, Any], warnings: Sequence[str]
) -> dict[str, Any]:
    """A message object before its end is known."""
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(content),
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
        "warnings": list(warnings),
    }


def content_of(choice: ChatChoice) -> list[dict[str, Any]]:
    """The blocks of an answer; a text block is present unless the answer is calls alone."""
    calls = [{**call_block(call.id, call.name), "input": call.given} for call in choice.calls]
    return [*([text_block(choice.text)] if choice.text or not calls else []), *calls]


def text_block(text: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": text}


def call_block(identity: str, name: str) -> dict[str, Any]:
    """The block of a call before its arguments."""
    return {"type": "tool_use", "id": identity, "name": name, "input": {}}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens read and written; those found in the cache are not among `input_tokens`."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
    }


def ending_of(run: ChatRun, choice: ChatChoice) -> dict[str, Any]:
    """The reason why a message ended; a stop string that only the chat template knows is the turn's end."""
    word = choice.completion.stop_string
    asked = word if word in stops_of(run.body.stop) else None
    return {"stop_reason": _stop_reason(run, choice, asked), "stop_sequence": asked}


def _stop_reason(run: ChatRun, choice: ChatChoice, stop: str | None) -> str:
    if choice.finish_reason == "tool_calls":
        return "tool_use"
    if choice.finish_reason == "length":
        full = choice.completion.usage.completion_tokens < (run.body.max_tokens or 0)
        return "model_context_window_exceeded" if full else "max_tokens"
    return "end_turn" if stop is None else "stop_sequence"


def write_error(status: int, error: dict[str, Any]) -> dict[str, Any]:
    """Turn OpenAI's error object into Anthropic's."""
    usual = "invalid_request_error" if status < 500 else "api_error"
    return {
        "type": "error",
        "error": {"type": _ERROR_TYPES.get(status, usual), "message": error["error"]["message"]},
    }


def failed(status: int, error: dict[str, Any]) -> str:
    """The last event of a stream that fails."""
    return event(write_error(status, error), "error")
