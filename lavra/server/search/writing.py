"""Write an answer from an index: threads read its pieces, for a client that may leave; few answers run at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator

from fastapi import Request
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException

from lavra.base.errors import OverloadedError
from lavra.base.retrieval import Answer, AnswerDelta, Question
from lavra.server.errors import CLIENT_LEFT
from lavra.server.search.served_index import ServedIndex
from lavra.server.server_state import ServerState


class AnswerWriting:
    """The pieces of an answer; it holds a place among those written at once until it is cancelled.

    Args:
        pieces: pieces of the answer, from `Answerer.submit`.
        release: gives the place back.
    """

    def __init__(self, pieces: Iterator[AnswerDelta], release: Callable[[], None]) -> None:
        self._pieces, self._release = pieces, release
        self._first: AnswerDelta | None = None
        self._open = True

    async def begin(self) -> None:
        """Wait for the first piece, so that a refusal of the question comes before any part of the answer is sent."""
        try:
            self._first = await anext(iterate_in_threadpool(self._pieces))
        except BaseException:
            self.cancel()
            raise

    async def read(self) -> AsyncGenerator[AnswerDelta]:
        """The pieces as they come; leaving early cancels the rest."""
        try:
            if self._first is not None:
                yield self._first
            async for piece in iterate_in_threadpool(self._pieces):
                yield piece
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Stop the answer; a second call has no effect."""
        if not self._open:
            return
        self._open = False
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._release()


class AnswerPlaces:
    """The limit of answers that an index makes at once; later questions wait, and are refused after `queue_seconds`.

    Args:
        state: state of the server, with the time limit.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def start(self, index: ServedIndex, question: Question) -> AnswerWriting:
        """Begin an answer, and wait for its first piece.

        Raises:
            OverloadedError: the server is stopping, or no place became free in time.
            InputError: the question cannot be answered.
        """
        config = self._state.config
        if self._state.draining:
            raise OverloadedError("the server is stopping; try another one", retry_after=config.drain_seconds)
        places = self._state.places[index.name]
        try:
            await asyncio.wait_for(places.acquire(), config.queue_seconds)
        except TimeoutError:
            raise OverloadedError(
                f"{index.name} writes {index.at_once} answers at once, and none ended within {config.queue_seconds:g} "
                "seconds; ask again later",
                retry_after=config.queue_seconds,
            ) from None
        try:
            pieces = await run_in_threadpool(index.answerer.submit, question)
        except BaseException:
            places.release()
            raise
        writing = AnswerWriting(iter(pieces), places.release)
        await writing.begin()
        return writing


async def read_whole(request: Request, writing: AnswerWriting) -> Answer:
    """The whole answer.

    Raises:
        HTTPException: 499, the client left; then the rest is not written.
    """
    whole: Answer | None = None
    try:
        async for piece in writing.read():
            if await request.is_disconnected():
                raise HTTPException(CLIENT_LEFT, "the client left")
            whole = piece.answer or whole
    finally:
        writing.cancel()
    assert whole is not None, "an answer ended without its last piece"
    return whole
