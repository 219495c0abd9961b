"""A completion that is written while it is read: a stream over an iterator of its pieces."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator

from lavra.base.types import Delta


class PieceStream:
    """A completion while it is written; iterate once, with `for` or `async for`.  It runs only while it is read.

    Args:
        write: makes the iterator of its pieces, which looks at the event before each step.
    """

    def __init__(self, write: Callable[[threading.Event], Iterator[Delta]]) -> None:
        self._cancelled = threading.Event()
        self._deltas = write(self._cancelled)

    def __iter__(self) -> Iterator[Delta]:
        return self._deltas

    async def __aiter__(self) -> AsyncIterator[Delta]:
        import asyncio  # noqa: PLC0415 - it takes 6 MB

        while (delta := await asyncio.to_thread(next, self._deltas, None)) is not None:
            yield delta

    def cancel(self) -> None:
        """Stop writing, from any thread; the next delta is the last and carries the text written until then."""
        self._cancelled.set()
