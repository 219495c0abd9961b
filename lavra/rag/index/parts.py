"""The parts of a generation derived from the database: postings and the vector store; the third part of an update.

Postings are files of a generation: they are made beside those in use, from the earlier postings and the new chunks.
A vector store serves all generations of an encoder: new chunks are added before a generation is published,
and dead chunks removed after it.  A reader sees its own generation in it, whichever moment it opened the store
(`seen_store.py`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.arrays import Int64s
from lavra.base.convert import to_mapping
from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.base.ports import Progress, VectorStore
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import merge_postings, write_postings
from lavra.rag.index.holds import generation_folder, make_holdable
from lavra.rag.index.table import DiskChunks
from lavra.rag.index.vectors import Space, rows_of
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.table import open_store
from lavra.rag.words import STEMMERS, Analyzer

STORES: Final = "stores"
POSTINGS: Final = "postings"
SERVED: Final = frozenset({StoreKind.MILVUS, StoreKind.PINECONE})
"""The stores whose vectors may lie outside the index's folder."""
_ADDED: Final = 4096  # vectors at once: with the facts of as many documents they take some ten megabytes
_STEMMED_SHARE: Final = 0.05  # share of the documents that a language needs for its words to be stemmed


def stemmed_languages(languages: Mapping[str, int]) -> tuple[str, ...]:
    """The languages whose words are stemmed, the most frequent first: those with a twentieth of the documents.

    A question is stemmed by each of these languages, so languages that a detector found in a few short documents are
    left out.
    """
    known = {language: number for language, number in languages.items() if language in STEMMERS}
    least = _STEMMED_SHARE * sum(known.values())
    return tuple(sorted((one for one in known if known[one] >= least), key=lambda one: (-known[one], one)))


def build_postings(
    folder: Path, generations: tuple[int, int], table: DiskChunks, languages: Sequence[str], progress: Progress
) -> None:
    """Write the postings of a generation.

    Args:
        folder: path of the index.
        generations: the published generation, whose postings are reused where they fit, and the generation being made.
        table: the chunks of the generation being made.
        languages: the languages that are stemmed.
        progress: shows how far it is.
    """
    published, generation = generations
    make_holdable(folder, generation)
    target = generation_folder(folder, generation) / POSTINGS
    ids = table.ids()
    old = _earlier_postings(folder, published, languages)
    keep = ids[:0] if old is None else np.intersect1d(ids, old.columns.ids)
    fresh = np.setdiff1d(ids, keep)
    progress("count words", 0, None, f"{len(fresh):,} chunks")
    if old is None:
        write_postings(target, fresh, table.texts(fresh), Analyzer(languages), languages=table.languages(fresh))
    else:
        merge_postings(target, old, keep, fresh, table.texts(fresh), languages=table.languages(fresh))


def _earlier_postings(folder: Path, generation: int, languages: Sequence[str]) -> Postings | None:
    try:
        old = Postings.open(generation_folder(folder, generation) / POSTINGS)
    except InputError:  # there are no postings, or those of an older lavra
        return None
    return old if old.analyzer.languages == tuple(languages) else None


def store_name(config: StoreConfig, space: Space, generation: int, published: str) -> str:
    """The name for the store of a generation: the published generation's if the store is the same, else a new name."""
    stem = f"{space.id}-{hash_json(to_mapping(config))[:8]}-"
    return published if published.startswith(stem) else f"{stem}{generation}"


def index_store(
    connection: sqlite3.Connection, folder: Path, config: StoreConfig, space: Space, name: str
) -> VectorStore:
    """The vector store of an index; on a server it has a namespace of its own.

    Raises:
        InputError: the store cannot be reached, or holds other data.
    """
    if config.kind in SERVED and config.namespace == StoreConfig().namespace:
        own = connection.execute("SELECT value FROM settings WHERE key = 'index'").fetchone()[0]
        config = replace(config, namespace=f"i{own}_{name.replace('-', '_')}")
    return open_store(config, folder / STORES / name, space.dimension)


def add_to_store(
    connection: sqlite3.Connection, store: VectorStore, space: Space, table: DiskChunks, ids: Int64s, progress: Progress
) -> None:
    """Add chunks to a store, under their numbers, with the facts of their documents."""
    for first in range(0, len(ids), _ADDED):
        progress("store", first, len(ids))
        some = ids[first : first + _ADDED]
        store.add(some, rows_of(connection, space, table.contents(some)), table.facts(some))


def fresh_ids(connection: sqlite3.Connection, generation: int, table: DiskChunks, *, is_new: bool) -> Int64s:
    """The chunks that a store does not have yet: all for a new store, else those born in the generation being made."""
    if is_new:
        return table.ids()
    found = connection.execute(
        "SELECT chunks.id FROM chunks JOIN documents ON documents.id = document "
        "WHERE born = ? AND died IS NULL ORDER BY chunks.id",
        (generation,),
    )
    return np.array(found.fetchall(), dtype=np.int64).reshape(-1)


def remove_store(folder: Path, name: str) -> None:
    """Remove the files of a store that is in the index's folder."""
    if name:
        shutil.rmtree(folder / STORES / name, ignore_errors=True)
