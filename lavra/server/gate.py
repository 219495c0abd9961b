"""The gate before all endpoints: it gives a request an id, checks its key and its body's size, and counts its answer.

It is plain ASGI, so that it does not delay a stream.
It answers `HEAD` as `GET` without the body (RFC 9110, section 9.3.2), so routes need not name `HEAD`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lavra.server.bodies import WholeBody, is_json, too_large
from lavra.server.chat_page.page import CHAT_FILES
from lavra.server.config import ServeConfig
from lavra.server.errors import ErrorShape, describe, error_body, openai_shape
from lavra.server.keys import CHALLENGE, given_key, is_known
from lavra.server.metrics import Metrics
from lavra.server.search.page import PAGE_FILES

logger = logging.getLogger(__name__)

# No secret there: pages, and whether the process lives.
OPEN_PATHS = frozenset({"/health", "/ready", *CHAT_FILES, *PAGE_FILES})
_IDENTITY: Final = re.compile(r"[\x21-\x7e]{1,128}")  # it is written into logs and headers


class Gate:
    """The middleware around the application.

    Args:
        app: application behind the gate.
        config: keys and sizes.
        metrics: counters of requests and answers.
        shape: writes errors in the form of their path's protocol.
        any_type: beginnings of paths whose bodies are JSON whatever their content type, unless a web page sends them.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: ServeConfig,
        metrics: Metrics,
        shape: ErrorShape = openai_shape,
        any_type: tuple[str, ...] = (),
    ) -> None:
        self._app, self._config, self._metrics, self._shape = app, config, metrics, shape
        self._any_type = any_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        identity, key = _identity(headers.get("x-request-id", "")), given_key(scope["headers"])
        tenant = hashlib.blake2b(
            key.encode(), digest_size=16
        ).hexdigest()  # identifies a tenant without holding its key
        scope.setdefault("state", {}).update(id=identity, tenant=tenant)
        inner = self._inner(scope, headers)
        sending = _Sending(send, identity, self._metrics.answered, inner, silent=scope["method"] == "HEAD")
        self._metrics.active(1)
        try:
            refusal = self._refusal(scope["path"], headers, key)
            if refusal is not None:
                await self._refuse(sending, scope["path"], *refusal)
                return
            await self._app(inner, WholeBody(headers, receive, self._config), sending)
        except Exception as error:  # a fault of ours: the framework would answer outside, without the id
            logger.exception("request %s failed", identity)
            if sending.begun:
                raise
            await self._refuse(sending, scope["path"], *describe(error))
        finally:
            self._metrics.active(-1)

    def _inner(self, scope: Scope, headers: dict[str, str]) -> Scope:
        """The scope that the application sees."""
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        if not self._any_type or not scope["path"].startswith(self._any_type) or "origin" in headers:
            return scope  # a page of another origin may send other types unasked, JSON not (CORS)
        if is_json(headers.get("content-type", "")):
            return scope
        headers["content-type"] = "application/json"
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        return {**scope, "headers": [*kept, (b"content-type", b"application/json")]}

    def _refusal(
        self, path: str, headers: Mapping[str, str], key: str
    ) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        """Status, OpenAI's error object and headers for a request that no endpoint sees."""
        keys = self._config.api_keys
        if keys and path not in OPEN_PATHS and not is_known(key, keys):
            what = "the key is not one of this server's" if key else "a key is needed"
            message = f"{what}: send Authorization: Bearer KEY, or x-api-key: KEY"
            return 401, error_body(message, code="invalid_api_key"), {"WWW-Authenticate": CHALLENGE}
        if _declared_length(headers) > self._config.max_body_bytes:
            return describe(too_large(self._config.max_body_bytes))
        return None

    async def _refuse(
        self, send: Send, path: str, status: int, answer: dict[str, Any], headers: Mapping[str, str]
    ) -> None:
        body = json.dumps(self._shape(path, status, answer)).encode()
        fields = {**headers, "content-type": "application/json", "content-length": str(len(body))}
        written = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": written})
        await send({"type": "http.response.body", "body": body})


class _Sending:
    """The `send` of a request: it adds the request's id to the answer's head and counts the answer.

    Args:
        send: `send` of the server.
        identity: id of the request.
        answered: function called with path and status.
        scope: scope in which the application notes its route.
        silent: whether the answer is sent without its body.
    """

    def __init__(
        self, send: Send, identity: str, answered: Callable[[str, int], None], scope: Scope, *, silent: bool
    ) -> None:
        self._send, self._identity, self._answered, self._scope = send, identity, answered, scope
        self._silent, self._ended, self.begun = silent, False, False

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        if message["type"] == "http.response.start":
            self.begun = True
            message.setdefault("headers", []).append((b"x-request-id", self._identity.encode()))
            route = self._scope.get("route")
            self._answered(getattr(route, "path", "unknown"), message["status"])
        elif self._silent:
            if not self._ended:
                self._ended = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await self._send(message)


def _identity(given: str) -> str:
    """The id of a request: the client's where it fits in a header and in a line of a log, else a new one."""
    return given if _IDENTITY.fullmatch(given) else uuid.uuid4().hex


def _declared_length(headers: Mapping[str, str]) -> int:
    value = headers.get("content-length", "")
    return int(value) if value.isdecimal() and len(value) < 20 else 0
