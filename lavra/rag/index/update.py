"""Bring an index up to date with its files.

    files ─▶ documents and chunks ─▶ vectors ─▶ postings, vector store ─▶ published ─▶ dead data removed
             (committed as it goes)  (batches)  (beside those in use)    (one transaction)

Readers see the published generation until the last step but one, whatever happens before it.  A killed update
loses the work that it did not commit, a few seconds of it; the same command goes on from there.  The result is the
index that building from scratch gives, numbers of chunks aside.

A change of the encoder, the chunking or the store is an update like any other: the new vectors stand beside the old
vectors, which stay in use until the switch.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lavra.base.card import CARD_FILE, read_card, write_card
from lavra.base.convert import to_mapping
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import hash_json
from lavra.base.lock import locked
from lavra.base.ports import Progress, silent
from lavra.rag.index.closing import close_store
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.documents import chunking_of
from lavra.rag.index.embedding import Embedded, embed_missing
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.parts import add_to_store, build_postings, fresh_ids, index_store, stemmed_languages, store_name
from lavra.rag.index.reading import FilesRead, SourceReader
from lavra.rag.index.report import IndexCounts, IndexReport
from lavra.rag.index.schema import DATABASE, connect_writer, full_disk_named, published, transaction
from lavra.rag.index.sweeping import clear_store, sweep
from lavra.rag.index.table import DiskChunks
from lavra.rag.index.vectors import find_space
from lavra.text.sources.source import Source, as_source

KIND = "index"
"""The kind of an index on its card."""


def update_index(
    folder: Path,
    sources: Sequence[Source | Path | str],
    config: IndexConfig,
    embedder: NamedEmbedder | None = None,
    *,
    progress: Progress = silent,
    wait: bool = False,
) -> IndexReport:
    """Make an index of files, or bring an index up to date.

    Args:
        folder: path of the index.
        sources: all its files and folders; documents of other sources are removed.
        config: settings that decide the search results.
        embedder: the embedder of `config.encoder`; `None` where the settings have no encoder.
        progress: shows how far it is.
        wait: whether to wait for another process that updates the index, instead of an error.

    Raises:
        InputError: a source does not exist, nothing in the sources can be read, another process updates the index,
            or it is damaged.
        ConfigError: the embedder is not the settings' encoder, or a chunk is larger than it reads.
        DiskFullError: there is no room; readers go on with the published generation.
    """
    _check_encoder(config, embedder)
    given = [as_source(source) for source in sources]
    if not given:
        raise InputError("no file or folder was named; an index needs at least one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=wait, remedy="name another index"), full_disk_named(folder):
        _refuse_other_folder(folder)
        folder.mkdir(exist_ok=True)
        with closing(connect_writer(folder)) as connection:
            return _Update(folder, connection, config, embedder, progress).run(given)


def _refuse_other_folder(folder: Path) -> None:
    """Refuse a folder that is neither new nor empty nor an index."""
    if folder.is_dir() and not (folder / DATABASE).exists() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is not an index; name another folder with `index`")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder with `index`")


def _check_encoder(config: IndexConfig, embedder: NamedEmbedder | None) -> None:
    given = None if embedder is None else embedder.identity
    if (given is None) != (config.encoder is None) or (given and config.encoder and given.hash != config.encoder.hash):
        raise ConfigError(f"encoder is {config.encoder}, and the one that was opened is {given}; give the same encoder")
    most = None if embedder is None else embedder.max_tokens
    if most is not None and config.chunking.size > most:
        raise ConfigError(
            f"chunking.size is {config.chunking.size} tokens; the encoder reads at most {most}: make it {most} or less"
        )


class _Update:
    """An update of an index, whose lock is held."""

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        config: IndexConfig,
        embedder: NamedEmbedder | None,
        progress: Progress,
    ) -> None:
        self._folder = folder
        self._connection = connection
        self._config = config
        self._embedder = embedder
        self._progress = progress
        self._before = published(connection)
        self._generation = self._before + 1
        self._started = time.monotonic()

    def run(self, sources: Sequence[Source]) -> IndexReport:
        chunking = chunking_of(self._config, self._embedder)
        reader = SourceReader(self._connection, self._config, chunking, self._generation, self._progress)
        read = reader.read(sources)
        self._refuse_nothing(sources, read)
        embedded = Embedded(space=None, count=0)
        if self._embedder is not None:
            embedded = embed_missing(self._connection, self._folder, self._embedder, self._progress)
        changes = self._changes()
        if self._has_news(changes):
            self._publish(embedded)
        self._finish()
        return self._report(read, embedded, changes)

    # ---- the current state -------------------------------------------------------------------------------------

    def _refuse_nothing(self, sources: Sequence[Source], read: FilesRead) -> None:
        if self._connection.execute("SELECT 1 FROM documents WHERE died IS NULL LIMIT 1").fetchone() is not None:
            return
        names = ", ".join(source.name for source in sources)
        had = f"; the index in {self._folder} stays as it is, delete it if it is not wanted" if self._before else ""
        if not read.skipped:
            raise InputError(f"{names}: there is no file in it; name a folder with documents{had}")
        some = "; ".join(f"{one.name}: {one.reason}" for one in read.skipped[:3])
        raise InputError(f"{names}: none of {len(read.skipped)} files could be indexed ({some}){had}")

    def _changes(self) -> Mapping[str, int]:
        """The documents that were added, changed and removed, and those that stayed."""
        count = "SELECT count(*) FROM documents AS new WHERE born = :now AND died IS NULL"
        old = "EXISTS (SELECT 1 FROM documents AS old WHERE old.name = new.name AND old.died = :now)"
        alive = "EXISTS (SELECT 1 FROM documents AS alive WHERE alive.name = old.name AND alive.died IS NULL)"
        asked = {
            "added": f"{count} AND NOT {old}",
            "changed": f"{count} AND {old}",
            "removed": f"SELECT count(*) FROM documents AS old WHERE died = :now AND NOT {alive}",
            "unchanged": "SELECT count(*) FROM documents WHERE born < :now AND died IS NULL",
        }
        now = {"now": self._generation}
        return {name: self._connection.execute(query, now).fetchone()[0] for name, query in asked.items()}

    def _has_news(self, changes: Mapping[str, int]) -> bool:
        found = self._connection.execute("SELECT config FROM generations WHERE number = ?", (self._before,)).fetchone()
        changed = changes["added"] + changes["changed"] + changes["removed"]
        return found is None or bool(changed) or json.loads(found[0]) != self._settings()

    def _settings(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(to_mapping(self._config)))
        return plain

    # ---- the switch -------------------------------------------------------------------------------------------

    def _publish(self, embedded: Embedded) -> None:
        table = DiskChunks(self._connection, self._generation)
        counts = table.counts()
        languages = self._config.languages or stemmed_languages(counts.languages)
        build_postings(self._folder, (self._before, self._generation), table, languages, self._progress)
        name = self._fill_store(embedded, table)
        space = None if embedded.space is None else embedded.space.id
        row = (self._generation, json.dumps(self._settings()), space, name, json.dumps(asdict(counts)))
        with transaction(self._connection):
            self._connection.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?)", row)
            self._connection.execute("UPDATE settings SET value = ? WHERE key = 'published'", (str(self._generation),))

    def _fill_store(self, embedded: Embedded, table: DiskChunks) -> str:
        """Add the new chunks to the vector store; return its name, empty without vectors."""
        if embedded.space is None:
            return ""
        found = self._connection.execute("SELECT store FROM generations WHERE number = ?", (self._before,)).fetchone()
        before = found[0] if found else ""
        name = store_name(self._config.store, embedded.space, self._generation, before)
        store = index_store(self._connection, self._folder, self._config.store, embedded.space, name)
        ids = fresh_ids(self._connection, self._generation, table, is_new=name != before)
        add_to_store(self._connection, store, embedded.space, table, ids, self._progress)
        close_store(store)
        return name

    # ---- the end ----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write the card, and remove data that no reader sees."""
        now = published(self._connection)
        number, name = self._connection.execute(
            "SELECT space, store FROM generations WHERE number = ?", (now,)
        ).fetchone()
        space = None if number is None else find_space(self._connection, self._folder, number)
        self._write_card()
        if space is not None:
            store = index_store(self._connection, self._folder, self._config.store, space, name)
            clear_store(self._connection, store)
            close_store(store)
        sweep(self._connection, self._folder)

    def _write_card(self) -> None:
        keys = self._connection.execute("SELECT name, key FROM documents WHERE died IS NULL ORDER BY name").fetchall()
        config = {**self._settings(), "documents": hash_json(keys)}
        known = read_card(self._folder) if (self._folder / CARD_FILE).exists() else None
        if known is not None and dict(known.config) == config:
            return
        encoder = self._config.encoder
        write_card(
            self._folder,
            kind=KIND,
            parents={} if encoder is None else {"encoder": encoder.hash},
            config=config,
            metrics={} if known is None else known.metrics,
            ignore=[path.name for path in self._folder.rglob("*")],
        )

    def _report(self, read: FilesRead, embedded: Embedded, changes: Mapping[str, int]) -> IndexReport:
        now = published(self._connection)
        counts = self._connection.execute("SELECT counts FROM generations WHERE number = ?", (now,)).fetchone()[0]
        held = IndexCounts(**json.loads(counts))
        return IndexReport(
            generation=now,
            counts=held,
            added=changes["added"],
            changed=changes["changed"],
            removed=changes["removed"],
            unchanged=changes["unchanged"],
            embedded=embedded.count,
            reused=held.distinct - embedded.count if self._embedder is not None else 0,
            skipped=tuple(read.skipped),
            issues=dict(read.issues),
            warnings=tuple(read.warnings),
            seconds=time.monotonic() - self._started,
        )
