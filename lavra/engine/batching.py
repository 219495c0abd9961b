"""Texts of many callers computed together: while one batch is computed, the next one gathers.

No request waits for others: a request that finds the worker idle is computed at once.  Requests that arrive meanwhile
become one batch, which the model sorts by length.  A request that cannot be served fails alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from lavra.base.errors import LavraError, OverloadedError
from lavra.base.ports import Gap, MaskFiller, Predictor
from lavra.base.predictions import Prediction
from lavra.base.types import FillRequest


class _Sliceable(Protocol):
    def __getitem__(self, part: slice, /) -> Any: ...


Item = TypeVar("Item")
FoundT = TypeVar("FoundT", bound=_Sliceable)


@dataclass(eq=False)
class _Waiting(Generic[Item, FoundT]):
    """The items of one caller, and their results."""

    items: Sequence[Item]
    done: threading.Event = field(default_factory=threading.Event)
    found: FoundT | None = None
    error: BaseException | None = None


class Batcher(Generic[Item, FoundT]):
    """A thread that computes the items of many callers.

    Args:
        compute: function from items to the same number of answers, a list or an array; called by one thread only.
        most_items: most items computed together; a single request may bring more.
        max_queue: most requests that wait; the next request is refused.
        size: function that gives the size of an item, for items that hold several texts.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], FoundT],
        *,
        most_items: int = 256,
        max_queue: int = 256,
        size: Callable[[Item], int] | None = None,
    ) -> None:
        self._compute, self._most, self._max_queue, self._size = compute, most_items, max_queue, size
        self._waiting: list[_Waiting[Item, FoundT]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.num_batches = 0

    def answers(self, items: Sequence[Item]) -> FoundT:
        """The answer to each item, in the order of the items; waits for them.

        Raises:
            OverloadedError: too many requests wait.
            LavraError: the batcher is closed; and any error of `compute` for these items.
        """
        mine: _Waiting[Item, FoundT] = _Waiting(items)
        with self._changed:
            if self._closing:
                raise LavraError("the batch worker is closed")
            if len(self._waiting) >= self._max_queue:
                waiting = len(self._waiting)
                raise OverloadedError(
                    f"the queue is full: {waiting} of at most {self._max_queue} requests wait; try again later"
                )
            self._waiting.append(mine)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"lavra-{type(self).__name__}", daemon=True)
                self._thread.start()
            self._changed.notify()
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        assert mine.found is not None
        return mine.found

    def close(self) -> None:
        """Serve the waiting requests, then stop; safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._answer(batch)
            except Exception as error:
                if len(batch) == 1:
                    batch[0].error = error
                else:
                    self._one_by_one(batch)
            for one in batch:
                one.done.set()

    def _next(self) -> list[_Waiting[Item, FoundT]]:
        """Requests of the next batch, in order of arrival; an empty list when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting)
            count, items = 0, 0
            while count < len(self._waiting):
                items += self._weight(self._waiting[count].items)
                if count and items > self._most:
                    break
                count += 1
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            return batch

    def _weight(self, items: Sequence[Item]) -> int:
        return len(items) if self._size is None else sum(map(self._size, items))

    def _answer(self, batch: Sequence[_Waiting[Item, FoundT]]) -> None:
        found = self._compute([item for one in batch for item in one.items])
        self.num_batches += 1
        first = 0
        for one in batch:
            one.found = found[first : first + len(one.items)]
            first += len(one.items)

    def _one_by_one(self, batch: Sequence[_Waiting[Item, FoundT]]) -> None:
        """Answer the requests of a failed batch one by one, to find the request that fails."""
        for one in batch:
            try:
                self._answer([one])
            except Exception as error:
                one.error = error


@runtime_checkable
class LengthyEmbedder(Protocol):
    """An `Embedder` that knows the greatest length of a text, and can read the beginning of a longer text."""

    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> npt.NDArray[np.float32]:
        """(N, D) float32, a row for each text; a text that is too long is an error unless it may be truncated."""
        ...

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, with the tokens around it."""
        ...

    @property
    def max_length(self) -> int | None:
        """Most tokens that are read; `None` if unknown."""
        ...


class BatchingEmbedder(Batcher[tuple[str, bool], npt.NDArray[np.float32]]):
    """The `Embedder` port over another `Embedder`, for many callers at once.

    Args:
        embedder: the embedder that computes.
        most_texts: most texts computed together; a single request may bring more.
        max_queue: most requests that wait.
    """

    def __init__(self, embedder: LengthyEmbedder, *, most_texts: int = 256, max_queue: int = 256) -> None:
        super().__init__(self._embed, most_items=most_texts, max_queue=max_queue)
        self._embedder = embedder

    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> npt.NDArray[np.float32]:
        """(N, D) float32, a row for each text; errors as `answers`."""
        return self.answers([(text, truncate) for text in texts])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, with the tokens around it."""
        return self._embedder.lengths(texts)

    @property
    def max_length(self) -> int | None:
        """Most tokens that are read; `None` if unknown."""
        return self._embedder.max_length

    def _embed(self, items: Sequence[tuple[str, bool]]) -> npt.NDArray[np.float32]:
        """Embed all texts together; if some may not be cut, a long text raises, and then its request fails alone."""
        return self._embedder.embed([text for text, _ in items], truncate=all(truncate for _, truncate in items))


class BatchingMaskFiller(Batcher[FillRequest, list[tuple[Gap, ...]]]):
    """The `MaskFiller` port over another `MaskFiller`, for many callers at once.

    Args:
        filler: the mask filler that computes.
        most_texts: most texts computed together; a single request may bring more.
        max_queue: most requests that wait.
    """

    def __init__(self, filler: MaskFiller, *, most_texts: int = 256, max_queue: int = 256) -> None:
        super().__init__(filler.fill, most_items=most_texts, max_queue=max_queue)

    def fill(self, requests: Sequence[FillRequest]) -> list[tuple[Gap, ...]]:
        """The gaps of each text, in the order of the requests; errors as `answers`."""
        return self.answers(requests)


class BatchingPredictor(Batcher[Any, list[Prediction[Any]]]):
    """The `Predictor` port over another `Predictor`, for many callers at once.

    Args:
        predictor: the predictor that computes.
        most_texts: most texts computed together; a single request may bring more.
        max_queue: most requests that wait.
    """

    def __init__(self, predictor: Predictor, *, most_texts: int = 256, max_queue: int = 256) -> None:
        super().__init__(predictor.predict, most_items=most_texts, max_queue=max_queue, size=_texts_of)
        self._predictor = predictor

    @property
    def task(self) -> str:
        """The task of the model."""
        return self._predictor.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels or tags; empty if the outputs are numbers or places."""
        return self._predictor.labels

    def predict(self, requests: Sequence[Any]) -> list[Prediction[Any]]:
        """An answer to each request, in their order; errors as `answers`."""
        return self.answers(requests)


def _texts_of(request: Any) -> int:
    """The number of texts that a request is computed as; 1 unless the request has its own number."""
    return int(getattr(request, "num_texts", 1))
