"""A completion on its way from the engine's thread to the caller."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import chain
from queue import SimpleQueue
from typing import TYPE_CHECKING, ClassVar, Final

from lavra.base.types import Completion, Delta

if TYPE_CHECKING:
    import asyncio

_SHARE: Final = 0.01  # share of a loop's time that goes into sending pieces, as long as no piece waits too long for it
_LONGEST: Final = 0.05  # seconds a piece waits for others at most; the first piece after a rest goes out at once

Piece = Delta | BaseException
PieceWatch = Callable[[Piece], None]


class EngineStream:
    """A completion while it is written; iterate once, with `for` or `async for`.  It is written even if it is not read.

    Args:
        cancel: function that asks the engine to stop writing.
        watch: function that is called with every piece when it comes, in the engine's thread.
    """

    def __init__(self, cancel: Callable[[], None], watch: PieceWatch | None = None) -> None:
        self._cancel, self._watch = cancel, watch
        self._pieces: SimpleQueue[Piece] = SimpleQueue()
        self._ended = threading.Event()
        self._wake: Callable[[], None] | None = None

    def deliver(self, piece: Piece) -> None:
        """Put the next piece, or an error; from any thread."""
        if self._watch is not None:
            self._watch(piece)
        self._pieces.put(piece)
        if isinstance(piece, BaseException) or piece.completion is not None:
            self._ended.set()
        wake = self._wake  # read after the piece is there: a reader that comes later finds it
        if wake is not None:
            wake()

    def cancel(self) -> None:
        """Stop writing, from any thread; the last delta then has this reason."""
        self._cancel()

    def __iter__(self) -> Iterator[Delta]:
        last = False
        while not last:
            delta = _checked(self._pieces.get())
            last = delta.completion is not None
            yield delta

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Pieces as they come; pieces that came since the last read are joined."""
        import asyncio  # noqa: PLC0415 - it takes 6 MB

        loop = asyncio.get_running_loop()
        reader = _Reader(loop)
        self._wake = partial(_Waker.of(loop).wake, reader)
        last = False
        while not last:
            while self._pieces.empty():
                await reader.waiting()
            pieces = [self._pieces.get_nowait() for _ in range(self._pieces.qsize())]
            newest = pieces[-1]  # no piece comes after a failure
            failure = newest if isinstance(newest, BaseException) else None
            if failure is not None:
                pieces.pop()
            if pieces:
                joined = _joined([_checked(piece) for piece in pieces])
                last = joined.completion is not None
                yield joined
            if failure is not None:
                raise failure

    def completion(self) -> Completion:
        """Wait for the end; the pieces are read only then.

        Raises:
            Any error in the engine.
        """
        self._ended.wait()
        found = next(delta.completion for delta in self if delta.completion is not None)
        assert found is not None
        return found


def _joined(deltas: list[Delta]) -> Delta:
    if len(deltas) == 1:
        return deltas[0]
    return Delta(
        text="".join([delta.text for delta in deltas]),
        tokens=tuple(chain.from_iterable([delta.tokens for delta in deltas])),
        logprobs=tuple(chain.from_iterable([delta.logprobs for delta in deltas])),
        top_logprobs=tuple(chain.from_iterable([delta.top_logprobs for delta in deltas])),
        completion=deltas[-1].completion,
    )


class _Waker:
    """Wakes all waiting readers of an event loop together.

    Most of a streamed token's cost is the write to its socket, and while the loop writes, the engine's thread waits
    for the interpreter.  So a flush is followed by a pause, in proportion to the time of the flush: pieces that come
    meanwhile go out as one.  A stream that is slower than the pause comes token by token.
    """

    _of_loop: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waker]] = weakref.WeakKeyDictionary()
    _making = threading.Lock()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._arrived: set[_Reader] = set()
        self._called = False
        self._due = 0.0  # when the next flush may be, on the loop's clock

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Waker:
        """The waker of a loop."""
        with cls._making:
            return cls._of_loop.setdefault(loop, cls(loop))

    def wake(self, reader: _Reader) -> None:
        """Wake a reader soon; from any thread."""
        self._arrived.add(reader)
        if self._called:  # still to come, and then it finds this one too
            return
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            self._called = True
            with contextlib.suppress(RuntimeError):  # closed just now: no reader waits; the engine serves others
                loop.call_soon_threadsafe(self._when_due, loop)

    def _when_due(self, loop: asyncio.AbstractEventLoop) -> None:
        wait = min(self._due - loop.time(), _LONGEST)
        if wait <= 0:
            self._flush(loop)
        else:
            loop.call_later(wait, self._flush, loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._called, began = False, time.thread_time()
        while self._arrived:
            self._arrived.pop().wake()
        loop.call_soon(self._pause, loop, began)  # behind the readers that have just been woken

    def _pause(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        self._due = loop.time() + (time.thread_time() - began) / _SHARE


class _Reader:
    """A reader that waits in an event loop until it is woken.

    It is like an `asyncio.Event`, without the support for several waiting tasks.
    """

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def waiting(self) -> asyncio.Future[None]:
        """A future that is done with the next flush that has pieces for the reader; ask for it when there are none."""
        self._future = self._loop.create_future()
        return self._future

    def wake(self) -> None:
        """Wake the reader; in the loop's thread."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


def _checked(piece: Piece) -> Delta:
    if isinstance(piece, BaseException):
        raise piece
    return piece
