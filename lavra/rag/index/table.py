"""The chunks of an index on disk, as one generation has them: the `ChunkTable` of searches and answers."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Final, TypeVar

import numpy as np

from lavra.base.arrays import Int64s
from lavra.base.errors import InputError, nearest
from lavra.base.retrieval import ACCESS, Chunk, MetaValue, Where
from lavra.rag.chunk_table import check_fields
from lavra.rag.index.documents import meta_of
from lavra.rag.index.report import IndexCounts
from lavra.rag.index.texts import read_text
from lavra.rag.stores.facts import FactColumns, check_conditions

_Read = TypeVar("_Read")
_ASKED: Final = 500  # most numbers in a query
LANGUAGE: Final = "language"
"""The name of the fact with the language of a document."""
_NAMES: Final = 50_000  # most names among which a near name is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """The writer's newest state of a document that a reader sees.

    Attributes:
        is_retired: whether the document has left the index.
        is_replaced: whether the index has a document of that name, another one or still this one.
        stamp: path, size in bytes, time of change in ns and hash of its file; `None` where the file will be read again.
    """

    is_retired: bool
    is_replaced: bool
    stamp: tuple[str, int, int, str] | None


class DiskChunks:
    """A `ChunkTable` over the database of an index.

    Only whole numbers, and the facts of documents once a filter asks for them, are kept in memory.

    Args:
        connection: reads the database; used by one thread at a time.
        generation: number of the generation whose documents are seen.
    """

    def __init__(self, connection: sqlite3.Connection, generation: int) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._seen = f"born <= {generation} AND (died IS NULL OR died > {generation})"

    def _all(self, asked: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(asked, values).fetchall()

    @cached_property
    def _places(self) -> Int64s:
        """(N, 2): the number of each chunk and of its document, in the order of the chunks."""
        asked = (
            f"SELECT chunks.id, document FROM chunks JOIN documents ON documents.id = document WHERE {self._seen} "
            "ORDER BY chunks.id"
        )
        with self._lock:  # row by row: a list of tuples would be ten times the array
            numbers = chain.from_iterable(self._connection.execute(asked))
            return np.fromiter(numbers, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def _facts(self) -> tuple[Int64s, Int64s, FactColumns, set[str]]:
        """The number of each document and the code of its facts, the facts, and all names."""
        found = self._all(f"SELECT id, meta FROM documents WHERE {self._seen} ORDER BY id")
        facts = FactColumns()
        codes, fresh = facts.codes([meta for _, meta in found])
        facts.add(fresh)
        names = {name for text in fresh for name in json.loads(text)}
        return np.array([id for id, _ in found], dtype=np.int64), np.array(codes, dtype=np.int64), facts, names

    def ids(self, where: Where = ()) -> Int64s:
        """See `ChunkTable.ids`."""
        with self._lock:
            places = self._places
            if not where:
                return places[:, 0].copy()
            documents, codes, facts, names = self._facts
            check_fields(where, names | {ACCESS})
            check_conditions(where)
            allowed = facts.meeting(where)[codes]
            chosen: Int64s = places[allowed[np.searchsorted(documents, places[:, 1])], 0]
            return chosen

    def chunks(self, ids: Sequence[int]) -> list[Chunk]:
        """See `ChunkTable.chunks`.

        Raises:
            InputError: a number belongs to no chunk of this generation.
        """
        wanted = [int(id) for id in ids]
        found: dict[int, Chunk] = {}
        with self._lock:
            for first in range(0, len(wanted), _ASKED):
                found.update((chunk.id, chunk) for chunk in self._some(wanted[first : first + _ASKED]))
        missing = next((id for id in wanted if id not in found), None)
        if missing is not None:
            raise InputError(f"chunk {missing} is not in this index (any more); open the index again")
        return [found[id] for id in wanted]

    def _some(self, ids: Sequence[int]) -> Iterator[Chunk]:
        marks = ",".join("?" * len(ids))
        rows = self._all(
            "SELECT chunks.id, name, text, start, stop, line, page, headings, meta FROM chunks "
            f"JOIN documents ON documents.id = document WHERE chunks.id IN ({marks}) AND {self._seen}",
            ids,
        )
        metas: dict[str, dict[str, MetaValue]] = {}
        for id, name, text, start, stop, line, page, headings, meta in rows:
            yield Chunk(
                id=id,
                document=name,
                text=read_text(self._connection, text, start, stop),
                start=start,
                end=stop,
                line=line,
                page=page,
                headings=tuple(json.loads(headings)),
                meta=metas.setdefault(meta, meta_of(meta)),
            )

    def texts(self, ids: Int64s) -> Iterator[str]:
        """Yield the texts of chunks whose numbers rise; one document is held at a time."""
        last, whole = -1, ""
        for first in range(0, len(ids), _ASKED):
            some = ids[first : first + _ASKED].tolist()
            marks = ",".join("?" * len(some))
            rows = self._all(
                "SELECT document, text, start, stop FROM chunks JOIN documents ON documents.id = document "
                f"WHERE chunks.id IN ({marks}) ORDER BY chunks.id",
                some,
            )
            for document, text, start, stop in rows:
                if document != last:
                    with self._lock:
                        last, whole = document, read_text(self._connection, text)
                yield whole[start:stop]

    def languages(self, ids: Int64s) -> Iterator[str]:
        """The language of each chunk; empty where it is not known."""
        for first in range(0, len(ids), _ASKED):
            yield from self._of_documents(ids[first : first + _ASKED], language_of)

    def facts(self, ids: Int64s) -> list[dict[str, MetaValue]]:
        """The facts of each chunk's document; chunks of one document share one table."""
        return self._of_documents(ids, meta_of)

    def _of_documents(self, ids: Int64s, read: Callable[[str], _Read]) -> list[_Read]:
        """Read a value from the written facts of each chunk's document; no other document's facts are held."""
        with self._lock:
            places = self._places
        documents = places[np.searchsorted(places[:, 0], ids), 1].tolist()
        distinct = list(dict.fromkeys(documents))
        found: dict[int, _Read] = {}
        for first in range(0, len(distinct), _ASKED):
            some = distinct[first : first + _ASKED]
            marks = ",".join("?" * len(some))
            rows = self._all(f"SELECT id, meta FROM documents WHERE id IN ({marks})", some)
            found.update((id, read(meta)) for id, meta in rows)
        return [found[document] for document in documents]

    def counts(self) -> IndexCounts:
        """The size of the index in this generation."""
        documents, characters = self._all(
            f"SELECT count(*), coalesce(sum(length), 0) FROM documents JOIN texts ON texts.id = text WHERE {self._seen}"
        )[0]
        chunks, distinct = self._all(
            "SELECT count(*), count(DISTINCT content) FROM chunks JOIN documents ON documents.id = document "
            f"WHERE {self._seen}"
        )[0]
        with self._lock:
            metas = self._connection.execute(f"SELECT meta FROM documents WHERE {self._seen}")
            languages = Counter(language_of(meta) for (meta,) in metas)
        return IndexCounts(
            documents=documents,
            chunks=chunks,
            distinct=distinct,
            characters=characters,
            languages=dict(sorted(languages.items(), key=lambda item: (-item[1], item[0]))),
        )

    def document_chunks(self, name: str) -> list[Chunk]:
        """See `ChunkTable.document_chunks`."""
        found = self._all(
            "SELECT chunks.id FROM chunks JOIN documents ON documents.id = document "
            f"WHERE name = ? AND {self._seen} ORDER BY start, stop",
            (name,),
        )
        return self.chunks([id for (id,) in found])

    def contents(self, ids: Int64s) -> Int64s:
        """The number of each chunk's distinct text; the numbers rise."""
        found: list[int] = []
        for first in range(0, len(ids), _ASKED):
            some = ids[first : first + _ASKED].tolist()
            marks = ",".join("?" * len(some))
            found += (
                row[0] for row in self._all(f"SELECT content FROM chunks WHERE id IN ({marks}) ORDER BY id", some)
            )
        return np.array(found, dtype=np.int64)

    def document_text(self, name: str) -> str:
        """See `ChunkTable.document_text`."""
        with self._lock:
            found = self._all(f"SELECT text FROM documents WHERE name = ? AND {self._seen}", (name,))
            if not found:
                names = self.documents()
                hint = nearest(name, names) if 0 < len(names) <= _NAMES else ""
                raise InputError(
                    f"no document is called {name!r}; it may have been deleted after it was indexed"
                    + (hint if "did you mean" in hint else "")
                )
            return read_text(self._connection, found[0][0])

    def text_digest(self, name: str) -> bytes:
        """The hash that a document's text had when it was read; empty where the document does not exist."""
        asked = f"SELECT hash FROM documents JOIN texts ON texts.id = text WHERE name = ? AND {self._seen}"
        found = self._all(asked, (name,))
        return bytes(found[0][0]) if found else b""

    def documents(self) -> list[str]:
        """See `ChunkTable.documents`."""
        return [name for (name,) in self._all(f"SELECT name FROM documents WHERE {self._seen} ORDER BY name")]

    def document_facts(self, name: str) -> dict[str, MetaValue]:
        """The facts of a document; none where it does not exist."""
        found = self._all(f"SELECT meta FROM documents WHERE name = ? AND {self._seen}", (name,))
        return meta_of(found[0][0]) if found else {}

    def document_pages(self, name: str) -> tuple[int, ...]:
        """The place where each page of a document begins in its text; none where it has no pages."""
        found = self._all(f"SELECT pages FROM documents WHERE name = ? AND {self._seen}", (name,))
        return tuple(json.loads(found[0][0])) if found else ()

    def fate(self, name: str) -> FileState | None:
        """The newest state of a document and its file; `None` where the document does not exist."""
        found = self._all(f"SELECT file, died FROM documents WHERE name = ? AND {self._seen}", (name,))
        if not found:
            return None
        file, died = found[0]
        alive = self._all("SELECT 1 FROM documents WHERE name = ? AND died IS NULL", (name,))
        stamp = self._all("SELECT path, size, modified_ns, hash FROM files WHERE name = ?", (file,))
        return FileState(is_retired=died is not None, is_replaced=bool(alive), stamp=stamp[0] if stamp else None)


def language_of(meta: str) -> str:
    """The language in written facts; empty where they name none."""
    return str(meta_of(meta).get(LANGUAGE, ""))
