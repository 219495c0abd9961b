"""A tiny event bus: everyone may emit, whoever wires the program subscribes.

Kept to the standard library and synchronous: an event is a name and a flat mapping, and a subscriber that
raises is a bug we want to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Subscriber = Callable[[str, Mapping[str, Any]], None]

_subscribers: list[Subscriber] = []


def emit(name: str, **fields: Any) -> None:
    """Tell every subscriber that something happened."""
    for subscriber in tuple(_subscribers):
        subscriber(name, fields)


@contextmanager
def subscribed(subscriber: Subscriber) -> Iterator[None]:
    """Listen for the length of a block."""
    _subscribers.append(subscriber)
    try:
        yield
    finally:
        _subscribers.remove(subscriber)
