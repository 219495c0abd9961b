"""Answers sent while they are written: server-sent events or lines of JSON, and their end.

Each protocol defines the form of its stream: it makes the texts and the text of an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from json.encoder import encode_basestring
from typing import Any, Final, Protocol

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lavra.server.errors import describe

logger = logging.getLogger(__name__)

EVENT_STREAM: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_MARK: Final = "\0text\0"  # no name or id has it: headers and models' names hold no NUL


def event(data: dict[str, Any], name: str | None = None) -> str:
    """A server-sent event, with a name where the protocol names its events."""
    named = "" if name is None else f"event: {name}\n"
    return f"{named}data: {_ENCODER.encode(data)}\n\n"


def line(data: dict[str, Any]) -> str:
    """Return a line of JSON."""
    return f"{_ENCODER.encode(data)}\n"


class TextEvents:
    """Events that differ in one text only, as nearly all of a stream do: the rest is encoded once.

    Args:
        make: makes the event's data around a text.
    """

    def __init__(self, make: Callable[[str], dict[str, Any]]) -> None:
        self._before, self._after = event(make(_MARK)).split(_ENCODER.encode(_MARK))

    def event(self, text: str) -> str:
        """The event with a text in it; equal to `event` of the object made for the text."""
        return f"{self._before}{encode_basestring(text)}{self._after}"


class Cancellable(Protocol):
    """An answer in progress, which can be cancelled."""

    def cancel(self) -> None:
        """Stop the answer; a second call has no effect."""
        ...


def streamed(
    events: AsyncIterator[str],
    streams: Sequence[Cancellable],
    *,
    failed: Callable[[int, dict[str, Any]], str],
    media_type: str = EVENT_STREAM,
) -> StreamingResponse:
    """The response that sends events as they come; its end cancels the streams behind them.

    Args:
        events: texts to send unchanged.
        streams: streams that the events read.
        failed: makes the last text of a failed stream from the status and OpenAI's error object.
        media_type: media type of the texts.
    """
    return _Streamed(events, streams, failed, media_type)


class _Streamed(StreamingResponse):
    """A response of events, with the streams behind them.

    A client may leave before the first event is read, or before the first event that waits for the engine.
    Then no reader of the streams has begun, and only the response itself can end them.
    """

    def __init__(
        self,
        events: AsyncIterator[str],
        streams: Sequence[Cancellable],
        failed: Callable[[int, dict[str, Any]], str],
        media_type: str,
    ) -> None:
        super().__init__(events, media_type=media_type, headers={"Cache-Control": "no-store"})
        self._events, self._streams, self._failed, self._request = events, streams, failed, ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        self._request = scope.get("state", {}).get("id", "")
        try:
            await super().__call__(scope, receive, send)
        finally:
            for stream in self._streams:
                stream.cancel()

    async def stream_response(self, send: Send) -> None:
        """Send every event when it comes; after a failure, the last event is the error."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        going = True
        while going:
            try:
                body = (await anext(self._events)).encode()
            except StopAsyncIteration:
                break
            except Exception as error:  # the status line has long been sent
                going, body = False, self._error_event(error).encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _error_event(self, error: Exception) -> str:
        status, message, _ = describe(error)
        if status >= 500:
            logger.error("request %s failed", self._request, exc_info=error)
        return self._failed(status, message)
