"""What every request passes before any endpoint: an id, the size of its body, its key; and what is counted after.

Plain ASGI: it must not stand between a stream and its client.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lavra.server.chat_page.page import CHAT_FILES
from lavra.server.config import ServeConfig
from lavra.server.errors import ErrorShape, describe, error_body, openai_shape
from lavra.server.search.page import PAGE_FILES

logger = logging.getLogger(__name__)

# No secret there: pages, and whether the process lives.
OPEN_PATHS = frozenset({"/health", "/ready", *CHAT_FILES, *PAGE_FILES})


class Gate:
    """Wraps the application.

    Args:
        app: what it protects.
        config: keys and sizes.
        answered: is told path and status of every response.
        shape: writes errors as the protocol of their path does.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: ServeConfig,
        answered: Callable[[str, int], None],
        shape: ErrorShape = openai_shape,
    ) -> None:
        self._app, self._config, self._answered, self._shape = app, config, answered, shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _header(scope, b"x-request-id")[:128] or uuid.uuid4().hex
        key = _header(scope, b"authorization").encode()
        tenant = hashlib.blake2b(key, digest_size=16).hexdigest()  # tells tenants apart, and is no key
        scope.setdefault("state", {}).update(id=identity, tenant=tenant)

        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message.setdefault("headers", []).append((b"x-request-id", identity.encode("latin-1", "replace")))
                route = scope.get("route")
                self._answered(getattr(route, "path", "unknown"), message["status"])
            await send(message)

        async def refuse(status: int, answer: dict[str, Any]) -> None:
            await _refuse(sending, status, self._shape(scope["path"], status, answer))

        if scope["path"] not in OPEN_PATHS and not self._may_enter(scope):
            message = "a key is needed: send Authorization: Bearer KEY"
            await refuse(401, error_body(message, code="invalid_api_key"))
            return
        if _declared_length(scope) > self._config.max_body_bytes:
            await refuse(413, error_body(self._too_large(), code="body_too_large"))
            return
        try:
            await self._app(scope, self._counting(receive), sending)
        except Exception as error:  # a fault of ours: the framework would answer outside, without the id
            logger.exception("request %s failed", identity)
            if begun:
                raise
            await refuse(*describe(error)[:2])

    def _counting(self, receive: Receive) -> Receive:
        """Count the body as it comes: a client may not have said, or not truly, how long it is."""
        read = 0

        async def receiving() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._config.max_body_bytes:
                raise HTTPException(413, self._too_large())
            return message

        return receiving

    def _may_enter(self, scope: Scope) -> bool:
        if not self._config.api_keys:
            return True
        given = _header(scope, b"authorization").removeprefix("Bearer ").strip().encode()
        # Every key is compared, in constant time: how long it takes tells nothing.
        matches = [hmac.compare_digest(given, key.encode()) for key in self._config.api_keys]
        return True in matches

    def _too_large(self) -> str:
        return f"the body is over {self._config.max_body_bytes} bytes, the most this server reads; send less"


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _declared_length(scope: Scope) -> int:
    value = _header(scope, b"content-length")
    return int(value) if value.isdecimal() and len(value) < 20 else 0


async def _refuse(send: Send, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
