"""From completions to the objects OpenAI's clients read."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Protocol

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lavra.base.types import Completion, Usage
from lavra.server import traces
from lavra.server.errors import describe

logger = logging.getLogger(__name__)

DONE = "data: [DONE]\n\n"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_MARK: Final = "\0text\0"  # no name or id has it: headers and models' names hold no NUL


def new_id(prefix: str) -> str:
    """Unique, and of the form OpenAI's have; the request's trace is told."""
    identity, trace = f"{prefix}-{uuid.uuid4().hex}", traces.current()
    if trace is not None:
        trace.answer_id = identity
    return identity


def head(kind: str, identity: str, model: str) -> dict[str, Any]:
    """What every answer begins with."""
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


def usage_object(prompts: Sequence[Usage], completions: Sequence[Usage]) -> dict[str, Any]:
    """Tokens read and written; each prompt counts once, however many completions it has."""
    read = sum(usage.prompt_tokens for usage in prompts)
    written = sum(usage.completion_tokens for usage in completions)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": sum(usage.cached_tokens for usage in prompts)},
        "truncated_tokens": sum(usage.truncated_tokens for usage in prompts),
        "virtual_tokens": sum(usage.virtual_tokens for usage in prompts),
        "response_cached": any(usage.response_cached for usage in prompts),
    }


def all_warnings(first: Sequence[str], completions: Sequence[Completion]) -> list[str]:
    """Every warning once, in order."""
    return list(dict.fromkeys([*first, *(warning for one in completions for warning in one.warnings)]))


def event(data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {_ENCODER.encode(data)}\n\n"


class TextEvents:
    """Events that differ in one text only, as nearly all of a stream do: the rest is encoded once.

    Args:
        make: the event's data around a text.
    """

    def __init__(self, make: Callable[[str], dict[str, Any]]) -> None:
        self._before, self._after = event(make(_MARK)).split(_ENCODER.encode(_MARK))

    def event(self, text: str) -> str:
        """As `event` of what is made around the text."""
        return f"{self._before}{_ENCODER.encode(text)}{self._after}"


class Cancellable(Protocol):
    """Something that is being written."""

    def cancel(self) -> None:
        """Stop; a second time does nothing."""
        ...


def streamed(events: AsyncIterator[str], streams: Sequence[Cancellable]) -> StreamingResponse:
    """The response that sends events as they come; with it end the streams behind them."""
    return _Streamed(events, streams)


class _Streamed(StreamingResponse):
    """Events, and what is written for them.

    A client may be gone before the first event is asked for, or before the first that waits for the engine: then
    nothing has begun to read the streams, and only the response itself can end them.
    """

    def __init__(self, events: AsyncIterator[str], streams: Sequence[Cancellable]) -> None:
        told = self._guarded(events)
        super().__init__(told, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._streams, self._request = streams, ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        self._request = scope.get("state", {}).get("id", "")
        try:
            await super().__call__(scope, receive, send)
        finally:
            for stream in self._streams:
                stream.cancel()

    async def _guarded(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        """Events whose last is what went wrong, if something did: the status line has long been sent."""
        try:
            async for one in events:
                yield one
        except Exception as error:
            status, told, _ = describe(error)
            if status >= 500:
                logger.exception("request %s failed", self._request)
            yield event(told)
            yield DONE
