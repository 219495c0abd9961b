"""Texts of many callers embedded together: while one batch is computed, the next one gathers.

Nobody waits for company: a text that finds the embedder idle is embedded at once.  What arrives meanwhile is one batch.
A request that cannot be served fails alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lavra.base.errors import LavraError, OverloadedError
from lavra.base.ports import Embedder

Vectors = npt.NDArray[np.float32]


@dataclass(eq=False)
class _Waiting:
    """One caller's texts, and what becomes of them."""

    texts: Sequence[str]
    done: threading.Event = field(default_factory=threading.Event)
    vectors: Vectors | None = None
    error: BaseException | None = None


class BatchingEmbedder:
    """The `Embedder` port over another one, for many callers at once.

    Args:
        embedder: what computes; used by one thread.
        most_texts: computed together; a single request may bring more.
        max_queue: requests that may wait; the next one is refused.
    """

    def __init__(self, embedder: Embedder, *, most_texts: int = 256, max_queue: int = 256) -> None:
        self._embedder, self._most, self._max_queue = embedder, most_texts, max_queue
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.num_batches = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(N, D) float32, one row a text.

        Raises:
            OverloadedError: too many requests wait.
            LavraError: the embedder is closed; and what the embedder behind raises for these texts.
        """
        mine = _Waiting(texts)
        with self._changed:
            if self._closing:
                raise LavraError("the embedder is closed")
            if len(self._waiting) >= self._max_queue:
                raise OverloadedError(
                    f"{len(self._waiting)} requests wait already, at most {self._max_queue} may; try again later"
                )
            self._waiting.append(mine)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lavra-embedder", daemon=True)
                self._thread.start()
            self._changed.notify()
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        assert mine.vectors is not None
        return mine.vectors

    def close(self) -> None:
        """Serve what waits, then stop; safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._embed(batch)
            except Exception as error:
                if len(batch) == 1:
                    batch[0].error = error
                else:
                    self._one_by_one(batch)
            for one in batch:
                one.done.set()

    def _next(self) -> list[_Waiting]:
        """Requests of the next batch, in order of arrival; none when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting)
            count, texts = 0, 0
            while count < len(self._waiting) and (count == 0 or texts + len(self._waiting[count].texts) <= self._most):
                texts += len(self._waiting[count].texts)
                count += 1
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            return batch

    def _embed(self, batch: Sequence[_Waiting]) -> None:
        vectors = self._embedder.embed([text for one in batch for text in one.texts])
        self.num_batches += 1
        first = 0
        for one in batch:
            one.vectors = vectors[first : first + len(one.texts)]
            first += len(one.texts)

    def _one_by_one(self, batch: Sequence[_Waiting]) -> None:
        """One of them cannot be served: find out which."""
        for one in batch:
            try:
                self._embed([one])
            except Exception as error:
                one.error = error
