"""A tiny event bus: any module may emit events, and the program's entry point subscribes.

Kept to the standard library and synchronous: an event is a name and a flat mapping, and a subscriber that
raises is a bug that must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Subscriber = Callable[[str, Mapping[str, Any]], None]

_subscribers: list[Subscriber] = []


def emit(name: str, **fields: Any) -> None:
    """Send an event to every subscriber."""
    for subscriber in tuple(_subscribers):
        subscriber(name, fields)


@contextmanager
def subscribed(subscriber: Subscriber) -> Iterator[None]:
    """Subscribe to events for the length of a block."""
    _subscribers.append(subscriber)
    try:
        yield
    finally:
        _subscribers.remove(subscriber)
