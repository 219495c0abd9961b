"""A completion on its way from the engine's thread to whoever asked for it."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import ClassVar

from lavra.base.types import Completion, Delta

Piece = Delta | BaseException
Watch = Callable[[Piece], None]


class EngineStream:
    """A completion being written; read it once, with `for` or `async for`.  It is written whether it is read or not.

    Args:
        cancel: asks the engine to stop writing.
        watch: is told of every piece when it comes, in the engine's thread.
    """

    def __init__(self, cancel: Callable[[], None], watch: Watch | None = None) -> None:
        self._cancel, self._watch = cancel, watch
        self._pieces: deque[Piece] = deque()
        self._arrived = threading.Condition()
        self._wake: Callable[[], None] | None = None

    def deliver(self, piece: Piece) -> None:
        """Put the next piece, or what went wrong; from any thread."""
        if self._watch is not None:
            self._watch(piece)
        with self._arrived:
            self._pieces.append(piece)
            self._arrived.notify()
            wake = self._wake
        if wake is not None:
            wake()

    def cancel(self) -> None:
        """Stop writing, from any thread; the last delta then says so."""
        self._cancel()

    def __iter__(self) -> Iterator[Delta]:
        last = False
        while not last:
            with self._arrived:
                self._arrived.wait_for(lambda: bool(self._pieces))
                piece = self._pieces.popleft()
            delta = _checked(piece)
            last = delta.completion is not None
            yield delta

    async def __aiter__(self) -> AsyncIterator[Delta]:
        waker, arrived = _Waker.of(asyncio.get_running_loop()), asyncio.Event()
        with self._arrived:
            self._wake = lambda: waker.wake(arrived)
        last = False
        while not last:
            while not self._pieces:
                await arrived.wait()
                arrived.clear()
            delta = _checked(self._pieces.popleft())
            last = delta.completion is not None
            yield delta

    def completion(self) -> Completion:
        """Read it to its end.

        Raises:
            Whatever went wrong in the engine.
        """
        found = next(delta.completion for delta in self if delta.completion is not None)
        assert found is not None
        return found


class _Waker:
    """Wakes what waits in one event loop: the pieces of one pass cost one call into the loop, not one each."""

    _of_loop: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waker]] = weakref.WeakKeyDictionary()
    _making = threading.Lock()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._arrived: list[asyncio.Event] = []
        self._lock = threading.Lock()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Waker:
        """The one of a loop."""
        with cls._making:
            return cls._of_loop.setdefault(loop, cls(loop))

    def wake(self, arrived: asyncio.Event) -> None:
        """Set an event soon; from any thread."""
        with self._lock:
            self._arrived.append(arrived)
            first = len(self._arrived) == 1
        loop = self._loop()
        if first and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for one in arrived:
            one.set()


def _checked(piece: Piece) -> Delta:
    if isinstance(piece, BaseException):
        raise piece
    return piece
