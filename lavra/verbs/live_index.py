"""An index opened for `lavra serve --index`: it answers from the newest state while `lavra index` updates the files.

A server runs for weeks and documents change.  `LiveIndex` looks for a newer state of its index every few seconds, opens
it beside the state in use, and closes the old state when the last question to it is answered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.errors import LavraError
from lavra.base.retrieval import (
    Answer,
    AnswerDelta,
    Found,
    IndexedDocument,
    MetaValue,
    Question,
    SearchRequest,
)
from lavra.base.workspace import Workspace
from lavra.rag.index.schema import connect_reader, published
from lavra.rag.indexed_documents import Groups, TableDocuments
from lavra.server.search.served_index import ServedIndex
from lavra.verbs.answering import NO_MODEL, OpenedAnswerer, open_answerer
from lavra.verbs.retrieval import find_index
from lavra.verbs.settings.answering import AnsweringConfig

logger = logging.getLogger(__name__)

_LOOKS_EVERY: Final = 5.0  # seconds
_AT_ONCE: Final = 4  # answers that quote; a model in this process writes one at a time


@dataclass(kw_only=True)
class _State:
    """An open state of an index.

    Attributes:
        opened: the opened answerer.
        documents: documents of the index.
        users: number of requests that read this state now.
    """

    opened: OpenedAnswerer
    documents: TableDocuments
    users: int = 0


class LiveIndex:
    """An index for a server: `Retriever`, `Answerer` and `DocumentTexts`, all of its newest state.

    Used by many threads.

    Args:
        folder: folder of the index.
        opening: opens its newest state.
        every: seconds between two looks for a newer state.
    """

    def __init__(self, folder: Path, opening: Callable[[], OpenedAnswerer], *, every: float = _LOOKS_EVERY) -> None:
        self._folder, self._opening, self._every = folder, opening, every
        self._lock = threading.Lock()
        self._state = self._open()
        self._looked = time.monotonic()
        self._moving: threading.Thread | None = None
        self._closed = False

    @property
    def model(self) -> str:
        """Name of the model that may write answers; empty without a model."""
        return self._state.opened.model

    def search(self, request: SearchRequest) -> Found:
        """See `Retriever.search`."""
        with self._reading() as state:
            return state.opened.retriever.search(request)

    def answer(self, question: Question) -> Answer:
        """See `Answerer.answer`."""
        with self._reading() as state:
            return state.opened.answerer.answer(question)

    def submit(self, question: Question) -> Iterator[AnswerDelta]:
        """See `Answerer.submit`; close the returned iterator, or read it to its end."""
        state = self._take()
        try:
            pieces = state.opened.answerer.submit(question)
        except BaseException:
            self._give_back(state)
            raise
        return _HeldPieces(pieces, lambda: self._give_back(state))

    def names(self, groups: Groups) -> list[str]:
        """See `DocumentTexts.names`."""
        with self._reading() as state:
            return state.documents.names(groups)

    def document(self, name: str, groups: Groups) -> IndexedDocument:
        """See `DocumentTexts.document`."""
        with self._reading() as state:
            return state.documents.document(name, groups)

    def facts(self, groups: Groups) -> Mapping[str, tuple[MetaValue, ...]]:
        """See `DocumentTexts.facts`."""
        with self._reading() as state:
            return state.documents.facts(groups)

    def close(self) -> None:
        """Close the index, once no request reads it any more."""
        moving = self._moving
        if moving is not None:
            moving.join()
        with self._lock:
            self._closed = True
            unused = self._state.users == 0
        if unused:
            self._state.opened.close()

    @contextmanager
    def _reading(self) -> Iterator[_State]:
        state = self._take()
        try:
            yield state
        finally:
            self._give_back(state)

    def _take(self) -> _State:
        self._look()
        with self._lock:
            self._state.users += 1
            return self._state

    def _give_back(self, state: _State) -> None:
        with self._lock:
            state.users -= 1
            done = state.users == 0 and (self._closed or state is not self._state)
        if done:
            state.opened.close()

    def _look(self) -> None:
        """Check for a newer state, and open it in the background."""
        with self._lock:
            now = time.monotonic()
            if self._closed or self._moving is not None or now - self._looked < self._every:
                return
            self._looked = now
            seen = self._state.opened.index.generation
            with closing(connect_reader(self._folder)) as connection:
                if published(connection) == seen:
                    return
            self._moving = threading.Thread(target=self._move_on, name="newer-index", daemon=True)
            self._moving.start()

    def _move_on(self) -> None:
        try:
            newer = self._open()
        except (LavraError, OSError) as error:
            logger.warning(
                "%s: its newer state cannot be opened, the older one goes on answering: %s", self._folder, error
            )
            with self._lock:
                self._moving = None
            return
        with self._lock:
            older, self._state, self._moving = self._state, newer, None
            unused = older.users == 0
        if unused:
            older.opened.close()

    def _open(self) -> _State:
        opened = self._opening()
        return _State(opened=opened, documents=TableDocuments(opened.index.table))


class _HeldPieces:
    """The pieces of an answer; its state is released at their end, or when they are closed."""

    def __init__(self, pieces: Iterator[AnswerDelta], give_back: Callable[[], None]) -> None:
        self._pieces, self._give_back = pieces, give_back
        self._open = True

    def __iter__(self) -> Iterator[AnswerDelta]:
        return self

    def __next__(self) -> AnswerDelta:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop; a second call has no effect."""
        if not self._open:
            return
        self._open = False
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._give_back()


def open_served_index(named: str, model: str | None, workspace: Workspace) -> ServedIndex:
    """Open an index by `NAME=INDEX` or `INDEX`, for a server.

    Args:
        named: served name and place of the index.
        model: model that may write answers, as `lavra ask --model`; `None` always quotes.
        workspace: workspace in which indexes have names.

    Raises:
        InputError: the index or the model does not exist.
    """
    name, _, place = named.rpartition("=")
    folder = find_index(place, workspace)
    config = AnsweringConfig(index=str(folder), model=model or NO_MODEL)
    live = LiveIndex(folder, lambda: open_answerer(config, workspace))
    return ServedIndex(
        name=name or folder.resolve().name,
        retriever=live,
        answerer=live,
        texts=live,
        at_once=1 if live.model else _AT_ONCE,
        close=live.close,
    )
