"""Streams as a server sends them: a failure during sending is the last event."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from lavra.base.errors import InputError
from lavra.server import streaming

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


def sent(events: AsyncIterator[str]) -> list[bytes]:
    """Bodies of the messages that a server sends."""
    bodies: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            bodies.append(message["body"])

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    response = streaming.streamed(events, [], failed=lambda status, told: f"{status} {told['error']['message']}")
    asyncio.run(asyncio.wait_for(response(SCOPE, receive, send), 10))
    return bodies


@pytest.mark.parametrize(
    ("last", "told"),
    [(InputError("n is 0; ask for one"), b"400 n is 0; ask for one"), (ValueError("ours"), b"500 ")],
)
def test_a_failure_is_the_last_event(last: Exception, told: bytes) -> None:
    async def events() -> AsyncIterator[str]:
        yield "olá"
        raise last

    bodies = sent(events())
    assert bodies[0] == "olá".encode()
    assert bodies[1].startswith(told)
    assert bodies[2:] == [b""]


def test_a_text_that_is_no_unicode_is_a_failure_too() -> None:
    async def events() -> AsyncIterator[str]:
        yield "\ud800"
        yield "never"

    bodies = sent(events())
    assert bodies[0].startswith(b"500 ")
    assert bodies[1:] == [b""]


@pytest.mark.parametrize("text", ["plain", 'quotes " and \\', "\n\t\x00\x7f", "olá 🦙 \u2028"])
def test_events_around_a_text_are_those_encoded_whole(text: str) -> None:
    def make(text: str) -> dict[str, Any]:
        return {"id": "x", "choices": [{"text": text, "index": 0}]}

    assert streaming.TextEvents(make).event(text) == streaming.event(make(text))
