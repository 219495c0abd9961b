"""Read an index: one generation of it, independent of a concurrent writer."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.convert import from_mapping
from lavra.base.errors import InputError
from lavra.base.files import hash_file
from lavra.base.ports import VectorStore
from lavra.rag.bm25.postings import Postings
from lavra.rag.index.closing import close_store
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.holds import Hold, generation_folder, hold
from lavra.rag.index.parts import POSTINGS, index_store
from lavra.rag.index.report import IndexCounts
from lavra.rag.index.schema import connect_reader, published
from lavra.rag.index.seen_store import SeenStore
from lavra.rag.index.table import DiskChunks, FileState
from lavra.rag.index.vectors import find_space


class UnfinishedError(InputError):
    """An index whose first update was stopped before its end."""


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """The open parts of one generation."""

    generation: int
    held: Hold
    table: DiskChunks
    postings: Postings
    space: int | None
    raw_store: VectorStore | None
    store: VectorStore | None
    config: IndexConfig
    counts: IndexCounts

    def close(self) -> None:
        """Release the generation."""
        if self.raw_store is not None:
            close_store(self.raw_store)
        self.held.release()


class Index:
    """An index open for reading; close it, or use it as a context.

    A concurrent writer changes nothing in it until `refresh`.  Used by many threads.

    Args:
        folder: path of the index.

    Raises:
        InputError: there is no index, it was never finished, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connection = connect_reader(folder)
        try:
            self._opened = self._open()
        except BaseException:
            self._connection.close()
            raise

    @property
    def generation(self) -> int:
        """The generation in use; it rises with each update that changed the index."""
        return self._opened.generation

    @property
    def table(self) -> DiskChunks:
        """The chunks and documents of the index."""
        return self._opened.table

    @property
    def postings(self) -> Postings:
        """The words of the chunks, which BM25 searches."""
        return self._opened.postings

    @property
    def store(self) -> VectorStore | None:
        """The store in which vectors are searched; `None` where the index has no encoder."""
        return self._opened.store

    @property
    def raw_store(self) -> VectorStore | None:
        """The store itself, which may also have chunks of other generations."""
        return self._opened.raw_store

    @property
    def space(self) -> int | None:
        """The number of the encoder's vectors in the database."""
        return self._opened.space

    @property
    def config(self) -> IndexConfig:
        """The settings that the index was made with."""
        return self._opened.config

    def report(self) -> IndexCounts:
        """The size of the index."""
        return self._opened.counts

    def refresh(self) -> bool:
        """Move to the newest generation; return whether there was a newer one.

        Objects taken from the index before (`table`, `store`, `postings`) must not be used afterwards.
        """
        if published(self._connection) == self.generation:
            return False
        before = self._opened
        self._opened = self._open()
        before.close()
        return True

    def stale(self, names: Sequence[str]) -> dict[str, str]:
        """The documents whose files differ from the index, each with `deleted` or `changed`."""
        fates = {name: self.table.fate(name) for name in dict.fromkeys(names)}
        found = {name: _what_became(fate) for name, fate in fates.items() if fate is not None}
        return {name: became for name, became in found.items() if became}

    def sources(self) -> dict[str, Path]:
        """The files and folders that the index was made of, by name."""
        return {name: Path(path) for name, path in self._connection.execute("SELECT name, path FROM sources")}

    def close(self) -> None:
        """Release the generation."""
        self._opened.close()
        self._connection.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> _Opened:
        while True:
            generation = published(self._connection)
            if not generation:
                raise UnfinishedError(f"{self.folder} was never finished; run the same `lavra index` again to go on")
            held = hold(self.folder, generation)
            if held is None:  # a writer removed the generation between the two lines
                continue
            try:
                opened = self._read(generation, held)
            except BaseException:
                held.release()
                raise
            if published(self._connection) == generation:  # otherwise its store may have lost chunks already
                return opened
            opened.close()

    def _read(self, generation: int, held: Hold) -> _Opened:
        config, space, store, counts = self._connection.execute(
            "SELECT config, space, store, counts FROM generations WHERE number = ?", (generation,)
        ).fetchone()
        settings: dict[str, Any] = json.loads(config)
        known, table = from_mapping(IndexConfig, settings), DiskChunks(self._connection, generation)
        vectors = None if space is None else find_space(self._connection, self.folder, space)
        opened = None if vectors is None else index_store(self._connection, self.folder, known.store, vectors, store)
        return _Opened(
            generation=generation,
            held=held,
            table=table,
            postings=Postings.open(generation_folder(self.folder, generation) / POSTINGS),
            space=space,
            raw_store=opened,
            store=None if opened is None else SeenStore(opened, table),
            config=known,
            counts=IndexCounts(**json.loads(counts)),
        )


def _what_became(fate: FileState) -> str:
    """The fate of a file: `deleted`, `changed`, or nothing."""
    if fate.is_retired:
        return "changed" if fate.is_replaced else "deleted"
    if fate.stamp is None:
        return ""
    path, size, modified_ns, digest = fate.stamp
    try:
        status = os.stat(path)
        if (status.st_size, status.st_mtime_ns) == (size, modified_ns):
            return ""
        return "changed" if status.st_size != size or hash_file(Path(path)) != digest else ""
    except OSError:
        return "deleted"


def open_index(folder: Path | str) -> Index:
    """Open an index for reading.

    Raises:
        InputError: there is no index, it was never finished, or it is damaged.
    """
    return Index(Path(folder))
