"""Check an index: every text, chunk, vector and posting is compared with its source."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.checks import Check
from lavra.rag.index.open import Index, open_index
from lavra.rag.index.schema import connect_reader
from lavra.rag.index.texts import text_hash
from lavra.rag.index.vectors import checksum, find_space, open_rows, rows_of
from lavra.rag.stores.recall import RecallTable, measure_recall

_REMEDY: Final = "make the index again in another folder; its files are all it needs"
_SOME: Final = 1000


def check_index(folder: Path) -> list[Check]:
    """Check everything that an index holds.

    Raises:
        InputError: there is no index, or it cannot be opened at all.
    """
    with open_index(folder) as index:
        connection = connect_reader(folder)
        try:
            return [
                _database(connection),
                _texts(index),
                _chunks(index, connection),
                _vectors(index, connection),
                _postings(index),
                _store(index),
                _files(index),
            ]
        finally:
            connection.close()


def store_recall(folder: Path, *, k: int = 10, queries: int = 100, seed: int = 0) -> RecallTable | None:
    """Measure the recall of the index's store; `None` where the index has no vectors.

    Args:
        folder: path of the index.
        k: number of nearest chunks asked for.
        queries: number of queries made from the vectors.
        seed: decides the queries.
    """
    with open_index(folder) as index:
        if index.space is None or index.store is None:
            return None
        connection = connect_reader(folder)
        try:
            space = find_space(connection, folder, index.space)
            assert space is not None
            ids = index.table.ids()
            rows = rows_of(connection, space, index.table.contents(ids))
        finally:
            connection.close()
        return measure_recall(index.store, rows, ids, index.table.facts(ids), k=k, queries=queries, seed=seed)


def _found(name: str, wrong: list[str], detail: str) -> Check:
    some = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    return Check(name=name, passed=not wrong, detail=some or detail, remedy=_REMEDY if wrong else "")


def _database(connection: sqlite3.Connection) -> Check:
    found = [row[0] for row in connection.execute("PRAGMA quick_check")]
    return _found("database", [] if found == ["ok"] else found, "its pages are whole")


def _texts(index: Index) -> Check:
    """Check that each document's text is the text that was read."""
    wrong, names = [], index.table.documents()
    for name in names:
        text, digest = index.table.document_text(name), index.table.text_digest(name)
        if text_hash(text) != digest:
            wrong.append(f"{name} is not the text that was read")
    return _found("documents", wrong, f"{len(names):,} texts are what was read")


def _chunks(index: Index, connection: sqlite3.Connection) -> Check:
    """Check that each chunk is the slice of its document that was embedded."""
    ids, wrong = index.table.ids(), []
    hashes = dict(connection.execute("SELECT id, hash FROM contents"))
    for first in range(0, len(ids), _SOME):
        some = ids[first : first + _SOME]
        for id, text, content in zip(some, index.table.texts(some), index.table.contents(some), strict=True):
            if not text.strip() or text_hash(text) != hashes.get(int(content)):
                wrong.append(f"chunk {id} is not the text that was embedded")
    return _found("chunks", wrong, f"{len(ids):,} chunks are slices of their documents")


def _vectors(index: Index, connection: sqlite3.Connection) -> Check:
    """Check that each chunk has a row of unit length with the bytes that were written."""
    if index.space is None:
        return Check(name="vectors", passed=False, tested=False, detail="the index has no encoder")
    space = find_space(connection, index.folder, index.space)
    assert space is not None
    known = {
        content: rest
        for content, *rest in connection.execute(
            "SELECT content, row, checksum FROM vectors WHERE space = ?", (space.id,)
        )
    }
    contents = np.unique(index.table.contents(index.table.ids()))
    wrong = [f"text {content} has no vector" for content in contents if int(content) not in known]
    rows = open_rows(space, max((row for row, _ in known.values()), default=-1) + 1)
    for content in contents:
        row, check = known.get(int(content), (None, None))
        if row is not None and (checksum(rows[row]) != check or not 0.999 < float(np.linalg.norm(rows[row])) < 1.001):
            wrong.append(f"row {row} of {space.path.name} is damaged")
    return _found("vectors", wrong, f"{len(contents):,} distinct texts have a vector of {space.dimension} numbers")


def _postings(index: Index) -> Check:
    same = np.array_equal(index.postings.columns.ids, index.table.ids())
    wrong = [] if same else [f"they are of {len(index.postings):,} chunks, of {len(index.table.ids()):,}"]
    return _found("words", wrong, f"the words of {len(index.postings):,} chunks are counted")


def _store(index: Index) -> Check:
    """Check that each chunk is found in its own vector's store."""
    if index.raw_store is None:
        return Check(name="vector store", passed=False, tested=False, detail="the index has no encoder")
    held, wanted = index.raw_store.count(), len(index.table.ids())
    wrong = [] if held >= wanted else [f"it has {held:,} vectors, and the index has {wanted:,} chunks"]
    return _found("vector store", wrong, f"{index.config.store.kind.value}: {held:,} vectors")


def _files(index: Index) -> Check:
    stale = dict(_stale(index))
    some = ", ".join(f"{name} was {became}" for name, became in list(stale.items())[:3])
    return Check(
        name="files",
        passed=not stale,
        detail=f"{len(stale):,} documents are no longer what was indexed: {some}" if stale else "none changed since",
        remedy="run `lavra index` again" if stale else "",
    )


def _stale(index: Index) -> Iterator[tuple[str, str]]:
    names = index.table.documents()
    for first in range(0, len(names), _SOME):
        yield from index.stale(names[first : first + _SOME]).items()
