"""A connection: uvicorn's HTTP protocol with bounds on headers and on the time a request takes to arrive.

uvicorn and httptools have no such bounds: a first line or a header may grow without an end, and a client may take hours
over either (a "slow loris").
A request reaches the application only when its headers are whole, so these bounds stand here.
`lavra.server.bodies` bounds the parts that an application can see (the size of a body).

A refusal is 400, 408 or 431 (RFC 6585, section 5) with OpenAI's error object, and closes the connection.
A connection that never sent a byte is closed without an answer.
After a refusal, the rest of the body is read and dropped for at most `body_seconds`, so that its sender can read the
refusal (RFC 9112, section 9.6).

The server speaks no other protocol, so it ignores an offer of another (`Upgrade`), as in RFC 9110, section 7.8.
httptools drops the body of a request with such an offer, and Java's client offers HTTP/2 in its first request: the body
is parsed again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from lavra.server.config import ServeConfig
from lavra.server.errors import error_body

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class _HeadersError(Exception):
    """Headers are over a bound; the parser stops at it."""


@dataclass(frozen=True)
class _Refusal:
    status: HTTPStatus
    message: str
    code: str


class BoundedConnection(HttpToolsProtocol):
    """A connection of a server.

    Args:
        limits: limits of headers and time.
        given: uvicorn's own arguments.
    """

    def __init__(self, *, limits: ServeConfig, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._in_head = False  # a request has begun, and its headers are not whole
        self._arriving = False  # a request has begun, and its end is not here
        self._head_bytes = 0
        self._silent = False  # the parser's callbacks repeat known facts
        self._empty = False  # the parser reported the end of a request
        self._refusal: _Refusal | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, for at most `header_seconds`."""
        super().connection_made(transport)
        self._wait(self._limits.header_seconds, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; count those inside unfinished headers, because the parser reports only whole headers."""
        self._unset_keepalive_if_required()
        in_head = self._in_head
        try:
            self._feed(data)
        except HttpParserError:
            message = "the request is not HTTP/1.1 that this server reads"
            self._refuse(self._refusal or _Refusal(HTTPStatus.BAD_REQUEST, message, "invalid_http"))
            return
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_header_bytes:
                self._refuse(self._too_large())
        if self._is_idle() and self._deadline is None:  # line ends between requests, or the rest of a refused body
            self._wait(self._limits.header_seconds, self._headers_late)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            self._feed(data[upgrade.args[0] :])

    def _ignore_upgrade(self) -> None:
        """Continue with a new parser that knows the framing of the body: the old parser drops it."""
        framing = [(name, value) for name, value in self.headers if name in _FRAMING]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in framing)
        self.parser = HttpRequestParser(self)
        self._silent, self._empty = True, False
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + head + b"\r\n")
        self._silent = False
        if self._empty:
            self.on_message_complete()

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return not self._arriving and (cycle is None or cycle.response_complete)

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._silent:
            return
        super().on_message_begin()
        self._in_head = self._arriving = True
        self._head_bytes = 0
        self._wait(self._limits.header_seconds, self._headers_late)

    def on_url(self, url: bytes) -> None:
        """A piece of the first line."""
        if self._silent:
            return
        super().on_url(url)
        if len(self.url) > self._limits.max_header_bytes:
            self._stop(self._too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, whole."""
        if self._silent:
            return
        super().on_header(name, value)
        if len(self.headers) > self._limits.max_headers:
            most = self._limits.max_headers
            self._stop(
                _Refusal(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"the request has more than {most} headers, the most this server reads; send fewer",
                    "too_many_headers",
                )
            )

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        if self._silent:
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.max_header_bytes:
            self._stop(self._too_large())
        self._in_head = False
        super().on_headers_complete()
        # The application bounds the time it waits for a body; a body that it does not read is bounded here.
        self._wait(self._limits.body_seconds + 1, self._close)

    def on_message_complete(self) -> None:
        """The request is whole, or the parser gave up its body for an upgrade: then the body is still to come."""
        if self._silent or self.parser.should_upgrade():
            self._empty = True
            return
        self._arriving = False
        self._stop_waiting()
        super().on_message_complete()

    def _stop(self, refusal: _Refusal) -> None:
        self._refusal = refusal
        raise _HeadersError(refusal.message)

    def _too_large(self) -> _Refusal:
        return _Refusal(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the first line and the headers are over {self._limits.max_header_bytes} bytes, the most this server "
            "reads; send less, or send it in the body",
            "headers_too_large",
        )

    def _headers_late(self) -> None:
        if not self._arriving:  # the client sent no byte: there is no request to answer
            self._close()
            return
        message = f"the headers did not arrive within {self._limits.header_seconds:g} seconds; send them faster"
        self._refuse(_Refusal(HTTPStatus.REQUEST_TIMEOUT, message, "headers_too_slow"))

    def _refuse(self, refusal: _Refusal) -> None:
        """Answer outside the application and close; in the middle of another answer, only close."""
        cycle: RequestResponseCycle | None = self.cycle
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.write(_written(refusal))
        self._close()

    def _wait(self, seconds: float, then: Any) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.close()


def connections(limits: ServeConfig) -> type[asyncio.Protocol]:
    """The class of connections, for uvicorn."""
    return partial(BoundedConnection, limits=limits)  # type: ignore[return-value]  # it only calls it


def _written(refusal: _Refusal) -> bytes:
    body = json.dumps(error_body(refusal.message, code=refusal.code)).encode()
    status = refusal.status
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
