"""Wait for the engine on behalf of a client that may leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from lavra.base.types import Completion, Delta
from lavra.engine.stream import EngineStream
from lavra.server.errors import CLIENT_LEFT
from lavra.server.streaming import Cancellable

Made = TypeVar("Made")


async def read_all(request: Request, streams: Sequence[EngineStream]) -> list[Completion]:
    """Wait for the completions of all streams; when the client leaves, cancel them and return none."""
    return await while_connected(request, _all(streams), streams)


async def while_connected(request: Request, work: Coroutine[Any, Any, Made], streams: Sequence[Cancellable]) -> Made:
    """The result of a coroutine over streams; they are cancelled when it ends, and when the client leaves.

    Raises:
        HTTPException: 499, the client left.
    """
    reading = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((reading, gone), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise HTTPException(CLIENT_LEFT, "the client left")
        return await reading
    finally:
        gone.cancel()
        reading.cancel()
        for stream in streams:
            stream.cancel()


async def read_pieces(streams: Sequence[EngineStream]) -> AsyncIterator[tuple[int, Delta]]:
    """The pieces of all streams as they come, each with its stream's number; leaving early cancels them."""
    try:
        if len(streams) == 1:
            async for delta in streams[0]:
                yield 0, delta
            return
        async for piece in _merged(streams):
            yield piece
    finally:
        for stream in streams:
            stream.cancel()


async def _merged(streams: Sequence[EngineStream]) -> AsyncIterator[tuple[int, Delta]]:
    pieces: asyncio.Queue[tuple[int, Delta | BaseException]] = asyncio.Queue()

    async def forward(number: int, stream: EngineStream) -> None:
        try:
            async for delta in stream:
                pieces.put_nowait((number, delta))
        except Exception as error:
            pieces.put_nowait((number, error))

    tasks = [asyncio.ensure_future(forward(number, stream)) for number, stream in enumerate(streams)]
    left = len(streams)
    try:
        while left:
            number, piece = await pieces.get()
            if isinstance(piece, BaseException):
                raise piece
            left -= piece.completion is not None
            yield number, piece
    finally:
        for task in tasks:
            task.cancel()


async def _all(streams: Sequence[EngineStream]) -> list[Completion]:
    # A coroutine, because a cancelled bare `gather` logs an error when it is not awaited.
    return await asyncio.gather(*(_last(stream) for stream in streams))


async def _last(stream: EngineStream) -> Completion:
    async for delta in stream:
        if delta.completion is not None:
            return delta.completion
    raise AssertionError("a stream ended without its completion")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
