"""A response on its way: written into its log by a task of its own, whoever reads.

Every stream goes through the log.  A response in the background is written to its end; another one ends when its
client leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable

from lavra.server.conversation.events import ChatChoice
from lavra.server.errors import describe
from lavra.server.responses.store import KeptResponse, ResponseStore, as_json
from lavra.server.responses.writing import Event, ResponseWriter, whole_answer
from lavra.server.streaming import event

logger = logging.getLogger(__name__)


class RunningResponse:
    """Writes one response into its record.

    Args:
        writer: makes the events.
        record: takes them.
        store: where the record is kept; `None` where it is not.
    """

    def __init__(self, writer: ResponseWriter, record: KeptResponse, store: ResponseStore | None) -> None:
        self._writer, self._record, self._store = writer, record, store

    def begin(self) -> None:
        """The first events.

        Raises:
            OverloadedError: there is no room for one more.
        """
        self._put(self._writer.begin())
        if self._store is not None:
            self._store.add(self._record)

    async def follow(self, events: AsyncIterator[Event]) -> None:
        """Write what comes until its end; what goes wrong is the last event."""
        try:
            async for one in events:
                self._put([one])
                if self._store is not None and self._record.background:
                    self._store.weigh(self._record)
        except Exception as error:
            self._record.cancel()
            status, told, _ = describe(error)
            if status >= 500:
                logger.exception("response %s failed", self._record.id)
            self._put(self._writer.failed(status, told))
        except asyncio.CancelledError:  # the server stops
            self._record.cancel()
            raise
        finally:
            self._ended()

    def whole(self, choice: ChatChoice, *, logprobs: bool) -> None:
        """Write an answer that is there."""
        for one in whole_answer(choice, logprobs=logprobs):
            self._put(self._writer.take(one))
        if self._store is not None:
            self._store.add(self._record)
        self._ended()

    def _put(self, events: Iterable[Event]) -> None:
        for one in events:
            if "response" in one:
                self._record.answer = as_json(one["response"])
            self._record.log.append(event(one, one["type"]))

    def _ended(self) -> None:
        self._record.output = tuple(as_json(item) for item in self._writer.output)
        self._record.log.end()
        if self._store is not None:
            self._store.weigh(self._record)


class RunningTasks:
    """Tasks that nobody awaits, held until they end: an event loop itself holds them weakly."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, running: RunningResponse, events: AsyncIterator[Event]) -> None:
        """Write a response in a task of its own."""
        task = asyncio.ensure_future(running.follow(events))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
