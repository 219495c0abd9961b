"""Texts of many callers computed together: while one batch is computed, the next one gathers.

Nobody waits for company: what finds the worker idle is computed at once.  What arrives meanwhile is one batch, which
whoever computes sorts by length.  A request that cannot be served fails alone.
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
    """One caller's items, and what becomes of them."""

    items: Sequence[Item]
    done: threading.Event = field(default_factory=threading.Event)
    found: FoundT | None = None
    error: BaseException | None = None


class Batcher(Generic[Item, FoundT]):
    """One thread that computes what many callers bring.

    Args:
        compute: from items to as many answers, a list or an array; used by the one thread.
        most_items: computed together; a single request may bring more.
        max_queue: requests that may wait; the next one is refused.
        size: how many an item counts for, where one holds several texts.
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
        """One answer an item, in their order; waits for them.

        Raises:
            OverloadedError: too many requests wait.
            LavraError: it is closed; and what `compute` raises for these items.
        """
        mine: _Waiting[Item, FoundT] = _Waiting(items)
        with self._changed:
            if self._closing:
                raise LavraError("the batch worker is closed")
            if len(self._waiting) >= self._max_queue:
                raise OverloadedError(
                    f"{len(self._waiting)} requests wait already, at most {self._max_queue} may; try again later"
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
                self._answer(batch)
            except Exception as error:
                if len(batch) == 1:
                    batch[0].error = error
                else:
                    self._one_by_one(batch)
            for one in batch:
                one.done.set()

    def _next(self) -> list[_Waiting[Item, FoundT]]:
        """Requests of the next batch, in order of arrival; none when it is time to stop."""
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
        """One of them cannot be served: find out which."""
        for one in batch:
            try:
                self._answer([one])
            except Exception as error:
                one.error = error


@runtime_checkable
class LengthyEmbedder(Protocol):
    """An `Embedder` that knows how long a text may be, and can read the beginning of a longer one."""

    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> npt.NDArray[np.float32]:
        """(N, D) float32, one row a text; a text that is too long is an error unless it may be truncated."""
        ...

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, with everything that is read around it."""
        ...

    @property
    def max_length(self) -> int | None:
        """Most tokens that are read; `None` where nothing says."""
        ...


class BatchingEmbedder(Batcher[tuple[str, bool], npt.NDArray[np.float32]]):
    """The `Embedder` port over another one, for many callers at once.

    Args:
        embedder: what computes.
        most_texts: computed together; a single request may bring more.
        max_queue: requests that may wait.
    """

    def __init__(self, embedder: LengthyEmbedder, *, most_texts: int = 256, max_queue: int = 256) -> None:
        super().__init__(self._embed, most_items=most_texts, max_queue=max_queue)
        self._embedder = embedder

    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> npt.NDArray[np.float32]:
        """(N, D) float32, one row a text; errors as `answers`."""
        return self.answers([(text, truncate) for text in texts])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, with everything that is read around it."""
        return self._embedder.lengths(texts)

    @property
    def max_length(self) -> int | None:
        """Most tokens that are read; `None` where nothing says."""
        return self._embedder.max_length

    def _embed(self, items: Sequence[tuple[str, bool]]) -> npt.NDArray[np.float32]:
        """All texts together: who refuses a long text has it computed alone, for it fails alone."""
        return self._embedder.embed([text for text, _ in items], truncate=all(truncate for _, truncate in items))


class BatchingMaskFiller(Batcher[FillRequest, list[tuple[Gap, ...]]]):
    """The `MaskFiller` port over another one, for many callers at once.

    Args:
        filler: what computes.
        most_texts: computed together; a single request may bring more.
        max_queue: requests that may wait.
    """

    def __init__(self, filler: MaskFiller, *, most_texts: int = 256, max_queue: int = 256) -> None:
        super().__init__(filler.fill, most_items=most_texts, max_queue=max_queue)

    def fill(self, requests: Sequence[FillRequest]) -> list[tuple[Gap, ...]]:
        """The gaps of each text, in the order of the requests; errors as `answers`."""
        return self.answers(requests)


class BatchingPredictor(Batcher[Any, list[Prediction[Any]]]):
    """The `Predictor` port over another one, for many callers at once.

    Args:
        predictor: what computes.
        most_texts: computed together; a single request may bring more.
        max_queue: requests that may wait.
    """

    def __init__(self, predictor: Predictor, *, most_texts: int = 256, max_queue: int = 256) -> None:
        super().__init__(predictor.predict, most_items=most_texts, max_queue=max_queue, size=_texts_of)
        self._predictor = predictor

    @property
    def task(self) -> str:
        """What the model was made for."""
        return self._predictor.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels or tags; none where the outputs are numbers or places."""
        return self._predictor.labels

    def predict(self, requests: Sequence[Any]) -> list[Prediction[Any]]:
        """An answer to each request, in their order; errors as `answers`."""
        return self.answers(requests)


def _texts_of(request: Any) -> int:
    """How many texts a request is computed as; one, unless it says otherwise."""
    return int(getattr(request, "num_texts", 1))
