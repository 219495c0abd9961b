"""Remove data that no reader sees any more: dead documents, generations, vectors and stores.

It runs after a generation was published and at the end of every update, so that the remains of an update that was
killed, or that a reader still used, are removed by a later update.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.convert import from_mapping
from lavra.base.ports import VectorStore
from lavra.rag.index.closing import close_store
from lavra.rag.index.holds import generation_folder, generations_on_disk, when_unheld
from lavra.rag.index.parts import SERVED, STORES, index_store, remove_store
from lavra.rag.index.schema import published, transaction
from lavra.rag.index.vectors import compact, find_space
from lavra.rag.stores.config import StoreConfig

_DEAD_CHUNKS: Final = "SELECT id FROM chunks WHERE document IN (SELECT id FROM documents WHERE died <= ?)"


def clear_store(connection: sqlite3.Connection, store: VectorStore) -> None:
    """Remove from a store the chunks that the published generation does not have."""
    seen = published(connection)
    rows = connection.execute(f"{_DEAD_CHUNKS} UNION SELECT chunk FROM gone ORDER BY 1", (seen,)).fetchall()
    if rows:
        store.delete(np.array(rows, dtype=np.int64).reshape(-1))
    with transaction(connection):
        connection.execute("DELETE FROM gone")


def sweep(connection: sqlite3.Connection, folder: Path) -> None:
    """Remove generations without readers, and the data that only they saw."""
    last = published(connection)
    oldest = last
    for generation in generations_on_disk(folder):
        if generation < last:
            with when_unheld(folder, generation) as unheld:
                if unheld:
                    shutil.rmtree(generation_folder(folder, generation), ignore_errors=True)
                else:
                    oldest = min(oldest, generation)
    _empty_served_stores(connection, folder, oldest)
    with transaction(connection):
        connection.execute("DELETE FROM generations WHERE number < ?", (oldest,))
        dead = connection.execute("SELECT count(*) FROM documents WHERE died <= ?", (oldest,)).fetchone()[0]
        if dead:
            _remove_documents(connection, oldest)
    _remove_stores(connection, folder)
    _remove_spaces(connection, folder)


def _empty_served_stores(connection: sqlite3.Connection, folder: Path, oldest: int) -> None:
    """Remove from a server the vectors that only generations before the oldest generation had."""
    kept = {name for (name,) in connection.execute("SELECT store FROM generations WHERE number >= ?", (oldest,))}
    found = connection.execute("SELECT store, config, space FROM generations WHERE number < ?", (oldest,)).fetchall()
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    for name, config, number in {row[0]: row for row in found if row[0] and row[0] not in kept}.values():
        settings, space = from_mapping(StoreConfig, json.loads(config)["store"]), find_space(connection, folder, number)
        if settings.kind in SERVED and settings.uri and space is not None and last is not None:
            store = index_store(connection, folder, settings, space, name)
            store.delete(np.arange(1, last[0] + 1, dtype=np.int64))
            close_store(store)


def _remove_documents(connection: sqlite3.Connection, oldest: int) -> None:
    connection.execute(f"DELETE FROM chunks WHERE id IN ({_DEAD_CHUNKS})", (oldest,))
    connection.execute("DELETE FROM documents WHERE died <= ?", (oldest,))
    connection.execute("DELETE FROM texts WHERE NOT EXISTS (SELECT 1 FROM documents WHERE text = texts.id)")
    connection.execute("DELETE FROM pieces WHERE NOT EXISTS (SELECT 1 FROM texts WHERE texts.id = pieces.text)")


def _remove_stores(connection: sqlite3.Connection, folder: Path) -> None:
    used = {name for (name,) in connection.execute("SELECT store FROM generations")}
    places = (folder / STORES).glob("*") if (folder / STORES).is_dir() else ()
    for place in places:
        if place.name not in used:
            remove_store(folder, place.name)


def _remove_spaces(connection: sqlite3.Connection, folder: Path) -> None:
    """Remove vectors of encoders that no generation uses, and of texts that no chunk has."""
    used = {space for (space,) in connection.execute("SELECT space FROM generations")}
    for (number,) in connection.execute("SELECT id FROM spaces").fetchall():
        space = find_space(connection, folder, number)
        if space is not None and number in used:
            compact(connection, folder, space)
        elif space is not None:
            with transaction(connection):
                connection.execute("DELETE FROM vectors WHERE space = ?", (number,))
                connection.execute("DELETE FROM spaces WHERE id = ?", (number,))
            space.path.unlink(missing_ok=True)
    files = {file for (file,) in connection.execute("SELECT file FROM spaces")}
    for path in folder.glob("vectors-*.f32"):  # of an update that was killed between two steps
        if path.name not in files:
            path.unlink()
    with transaction(connection):
        connection.execute(
            "DELETE FROM contents WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE content = contents.id) "
            "AND NOT EXISTS (SELECT 1 FROM vectors WHERE content = contents.id)"
        )
