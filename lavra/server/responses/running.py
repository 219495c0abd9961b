"""A response on its way: written into its log by a task of its own, whoever reads.

Every stream goes through the log.  A response in the background is written to its end; another one ends when its
client leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from fastapi import Request

from lavra.server.errors import describe
from lavra.server.reading import while_connected
from lavra.server.responses.answering import AnswerSource
from lavra.server.responses.store import KeptResponse, ResponseStore, as_json
from lavra.server.responses.writing import Event, ResponseWriter
from lavra.server.streaming import event

logger = logging.getLogger(__name__)


class RunningResponse:
    """Writes one response into its record.

    Args:
        answering: what is written.
        writer: makes the events of it.
        record: takes them.
        store: where the record is kept; `None` where it is not.
        silent: only the response itself is wanted, and no events.
    """

    def __init__(
        self,
        answering: AnswerSource,
        writer: ResponseWriter,
        record: KeptResponse,
        store: ResponseStore | None,
        *,
        silent: bool,
    ) -> None:
        self._answering, self._writer, self._record, self._store = answering, writer, record, store
        self._silent, self._stopped = silent, False
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write the first events, and the rest in a task of its own.

        Raises:
            OverloadedError: there is no room for one more.
        """
        self._put(self._writer.begin())
        try:
            if self._store is not None:
                self._store.add(self._record)
        except BaseException:
            self._answering.abandon()
            raise
        self._record.stop = self._stop
        self._task = asyncio.ensure_future(self._follow())  # held: an event loop holds tasks weakly

    async def wait(self, request: Request) -> None:
        """Wait for the end, as long as the client does.

        Raises:
            HTTPException: 499, the client left.
            Exception: what went wrong; the response is not kept then.
        """
        await while_connected(request, self._record.log.wait(), [self._record])
        if self._error is not None:
            if self._store is not None:
                self._store.delete(self._record)
            raise self._error

    def _stop(self) -> None:
        """Write no more: a model's stream ends by itself then, anything else after its next piece."""
        self._stopped = True
        for stream in self._answering.streams:
            stream.cancel()
        self._forget_events()

    async def _follow(self) -> None:
        """Write what comes until its end; what goes wrong is the last event."""
        try:
            async for one in self._answering.events(self._writer):
                self._put([one])
                if self._store is not None and self._record.background:
                    self._store.weigh(self._record)
                if self._stopped and not self._answering.streams:
                    break
        except asyncio.CancelledError:  # the server stops
            self._stopped = True
        except Exception as error:
            self._fail(error)
        finally:
            self._answering.abandon()
            if self._stopped and not self._writer.ended:
                self._put(self._writer.cancelled())
            self._ended()

    def _fail(self, error: Exception) -> None:
        self._error = error
        status, told, _ = describe(error)
        if status >= 500 and not self._silent:  # whoever waits for a silent one logs it
            logger.error("response %s failed", self._record.id, exc_info=error)
        self._put(self._writer.failed(status, told))

    def _put(self, events: Iterable[Event]) -> None:
        for one in events:
            if "response" in one:
                self._record.answer = as_json(one["response"])
            if not self._silent:
                self._record.log.append(event(one, one["type"]))

    def _ended(self) -> None:
        self._record.output = tuple(as_json(item) for item in self._writer.output)
        self._record.log.end()
        self._forget_events()
        if self._store is not None:
            self._store.weigh(self._record)

    def _forget_events(self) -> None:
        """Drop events that nobody comes back for, once their one reader has left too."""
        if self._stopped and self._record.log.ended and not self._record.background:
            self._record.log.clear()
