"""The events of one response, in order, for readers that come at any time, leave, and return."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator


class EventLog:
    """Events that are appended by one writer and read by any number of readers, in one event loop.

    The place of an event is its `sequence_number`.

    Attributes:
        ended: whether the log is complete.
        num_bytes: memory of the events.
    """

    def __init__(self) -> None:
        self._events: list[str] = []
        self._arrived = asyncio.Event()
        self.ended = False
        self.num_bytes = 0

    def __len__(self) -> int:
        """Events so far."""
        return len(self._events)

    def append(self, event: str) -> None:
        """Add an event, and wake the readers."""
        self._events.append(event)
        self.num_bytes += sys.getsizeof(event)
        self._wake()

    def end(self) -> None:
        """End the log; no event may follow."""
        self.ended = True
        self._wake()

    def clear(self) -> None:
        """Drop the events, because they have no reader any more."""
        self._events, self.num_bytes = [], 0

    def _wake(self) -> None:
        # Each waiting reader holds the event it waits for; later ones wait for the next.
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()

    async def read(self, after: int = -1) -> AsyncIterator[str]:
        """Yield the events after a place, then new events until the end; events that came in the meantime are one text.

        Args:
            after: place of the last event to skip; -1 skips none.
        """
        place = after + 1
        while True:
            arrived = self._arrived
            if place < len(self._events):
                texts, place = self._events[place:], len(self._events)
                yield "".join(texts)
            elif self.ended:
                return
            else:
                await arrived.wait()

    async def wait(self) -> None:
        """Wait for the end."""
        while not self.ended:
            await self._arrived.wait()
