"""Requests to one server: retries with growing pauses, and errors that say whether the user or the server must act.

A try is repeated where the server was not reached, did not answer in time, or says that it is busy (408, 429) or broken
(5xx); after the pause that `Retry-After` names, or else twice as long each time, with a random part so that many
clients do not come back at once.  A stream is repeated only before its first byte.  A client's own error is never
repeated.  The key goes into one header, and into no log, message or representation.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2

from lavra.base.errors import InputError, LavraError, OverloadedError
from lavra.remote.config import RemoteConfig

logger = logging.getLogger(__name__)

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_BUSY: Final = frozenset({429, 503})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds
_SHOWN: Final = 300  # characters shown of an answer that is not an error object

Sleep = Callable[[float], None]


class RemoteError(LavraError):
    """A server was not reached, failed, or sent an unreadable answer."""


class Connection:
    """A connection that posts JSON to one server; used by many threads.

    Args:
        config: settings: the server's address, timeouts and retries.
        sleep: function that waits the given seconds.
        transport: another way to the server than the network, for tests.

    Raises:
        InputError: the key cannot be read.
    """

    def __init__(
        self, config: RemoteConfig, *, sleep: Sleep = time.sleep, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._config, self._sleep = config, sleep
        self._key = key = config.read_key()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if key is not None and urlsplit(config.url).scheme == "http" and not _is_local(config.url):
            logger.warning("the key goes to %s unencrypted; use https where others can listen", config.url)
        self._client = httpx2.Client(headers=headers, timeout=config.timeout, transport=transport)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post a request and return the answer.

        Raises:
            InputError: the server refuses it.
            OverloadedError: the server is still busy after all tries.
            RemoteError: the server is not reachable, or its answer cannot be read.
        """
        with self._answer(path, body) as response:
            try:
                answer = json.loads(response.read())
            except httpx2.TransportError as error:
                raise RemoteError(f"{self._config.url} broke off its answer ({_name(error)}); ask again") from None
            except ValueError:
                answer = None
        if not isinstance(answer, dict):
            raise RemoteError(f"{self._config.url}{path} did not answer with a JSON object; is it OpenAI-compatible?")
        return answer

    @contextmanager
    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
        """Yield the events of a streamed answer as they come; leaving the block closes the connection.

        Raises:
            As `post`; and as the events are read, where the server reports an error among them.
        """
        with self._answer(path, {**body, "stream": True}) as response:
            yield self._events(response)

    def _events(self, response: httpx2.Response) -> Iterator[dict[str, Any]]:
        try:
            for line in response.iter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                event = json.loads(data)
                if "error" in event:
                    raise RemoteError(f"{self._config.url} broke off: {_message(event)}")
                yield event
        except httpx2.TransportError as error:
            raise RemoteError(f"{self._config.url} broke off ({_name(error)}); ask again") from None
        except ValueError:
            raise RemoteError(f"{self._config.url} sent an event that is not JSON; is it OpenAI-compatible?") from None

    @contextmanager
    def _answer(self, path: str, body: Mapping[str, Any]) -> Iterator[httpx2.Response]:
        """Send a request and return a successful response, its body not read yet."""
        url = self._config.url.rstrip("/") + path
        for number in range(self._config.max_retries + 1):
            last = number == self._config.max_retries
            request = self._client.build_request("POST", url, json=body)
            try:
                response = self._client.send(request, stream=True)
            except httpx2.TransportError as error:
                if last:
                    raise RemoteError(
                        f"{self._config.url} was not reached in {number + 1} tries ({_name(error)}); "
                        "is the server running, and the address right?"
                    ) from None
                self._wait(number, None, _name(error))
                continue
            if response.is_success:
                break
            issue = self._error(response)
            if last or response.status_code not in _AGAIN:
                raise issue
            self._wait(number, response.headers.get("retry-after"), f"status {response.status_code}")
        try:
            yield response
        finally:
            response.close()

    def _wait(self, number: int, asked: str | None, why: str) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number) * (0.5 + random.random() / 2)
        if asked is not None and asked.isdecimal():
            pause = min(_LONGEST_PAUSE, max(pause, float(asked)))
        logger.info("%s: %s; trying again in %.1f s", self._config.url, why, pause)
        self._sleep(pause)

    def _error(self, response: httpx2.Response) -> LavraError:
        """The error to raise for a failed response."""
        status = response.status_code
        try:
            message = _message_of(response.read())
        except httpx2.TransportError:
            message = "no reason given"
        finally:
            response.close()
        if self._key is not None:  # some servers repeat an unknown key in their message
            message = message.replace(self._key, "(the key)")
        where = f"{self._config.url} answers {status}: {message}"
        if status in (401, 403):
            return InputError(f"{where}; name the server's key with key_variable or key_file")
        if status in (404, 405):
            return InputError(f"{where}; look at url, which usually ends in /v1, and at the model's name")
        if status in _BUSY:
            return OverloadedError(f"{where}, after {self._config.max_retries + 1} tries; ask less at a time")
        if 300 <= status < 400:
            return InputError(f"{where}; it redirects to another address: give that as url")
        if status in _AGAIN or status >= 500:
            return RemoteError(f"{where}; the server failed")
        return InputError(where)


def _message_of(content: bytes) -> str:
    try:
        return _message(json.loads(content))
    except ValueError:
        return content.decode(errors="replace").strip()[:_SHOWN] or "no reason given"


def _message(body: Any) -> str:
    """The message of an error object, in any of the usual shapes."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or json.dumps(error)
    return str(error)[:_SHOWN]


def _name(error: Exception) -> str:
    return type(error).__name__


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


class Connected:
    """An owner of a connection; `close`, or the end of a `with`, closes the connection."""

    _connection: Connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
