"""A running response: a task of its own writes it into its log, independent of the readers.

Every stream goes through the log.
A background response is written to its end; any other ends when its client leaves.
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
    """A task that writes a response into its record.

    Args:
        answering: source of the answer.
        writer: makes the events of the answer.
        record: record of the response.
        store: store of the record; `None` where the record is not kept.
        silent: whether to skip the events and make only the response object.
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
            Exception: the answer failed; the response is not kept then.
        """
        await while_connected(request, self._record.log.wait(), [self._record])
        if self._error is not None:
            if self._store is not None:
                self._store.delete(self._record)
            raise self._error

    def _stop(self) -> None:
        """Stop the answer: a model's stream ends by itself, any other after its next piece."""
        self._stopped = True
        for stream in self._answering.streams:
            stream.cancel()
        self._forget_events()

    async def _follow(self) -> None:
        """Write the pieces of the answer until its end; an error becomes the last event."""
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
        status, message, _ = describe(error)
        if status >= 500 and not self._silent:  # the waiting request of a silent response logs it
            logger.error("response %s failed", self._record.id, exc_info=error)
        self._put(self._writer.failed(status, message))

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
        """Drop the events of a response outside the background, once its only reader has left."""
        if self._stopped and self._record.log.ended and not self._record.background:
            self._record.log.clear()
