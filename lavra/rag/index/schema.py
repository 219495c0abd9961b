"""The database of an index: its tables, and the functions that open it.

The SQLite database, in write-ahead mode, is the authority about an index.  Two numbers make it readable beside a
writer: a document has the generation it was born in, and the generation it died in.  A reader of generation g sees the
documents with `born <= g < died` and their chunks, whatever a writer adds or removes meanwhile; the writer works on
generation `published + 1`, and one transaction publishes it.

Texts stand in pieces of `PIECE` characters, so that a passage of a long document is read without the rest.  SQLite maps
the file into memory: texts take no memory of the process.

Vectors are rows of a file beside the database (`vectors.py`); postings and the vector store's own files are derived
from both (`parts.py`).
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lavra.base.disk import free_bytes, naming_full_disk
from lavra.base.errors import InputError

DATABASE: Final = "index.sqlite"
SCHEMA_VERSION: Final = 1
PIECE: Final = 16_384
"""The characters of a piece of text."""

_WAIT: Final = 30.0  # seconds for another connection's transaction
_SHARED_MEMORY: Final = 1 << 16  # bytes beside the database that write-ahead mode needs
_MAPPED: Final = 1 << 40  # most bytes of the database to map; SQLite takes fewer where it cannot map them
_TABLES: Final = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY,
    config TEXT NOT NULL,     -- JSON of IndexConfig
    space INTEGER,            -- of its vectors; NULL where it has none
    store TEXT NOT NULL,      -- folder of its vector store; empty where it has none
    counts TEXT NOT NULL      -- JSON of IndexCounts
);
CREATE TABLE sources (name TEXT PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    read_ns INTEGER NOT NULL, -- when its size and time were looked at
    hash TEXT NOT NULL,       -- of its bytes
    reading TEXT NOT NULL,    -- of the settings it was read with
    skipped TEXT NOT NULL,    -- JSON: [[name, reason, detail], ...] of what was not read
    issues TEXT NOT NULL    -- JSON: {reason: number} of what was mended
) WITHOUT ROWID;
CREATE TABLE texts (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, length INTEGER NOT NULL);
CREATE TABLE pieces (text INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (text, number));
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    text INTEGER NOT NULL,
    kind TEXT NOT NULL,
    pages TEXT NOT NULL,      -- JSON: where each begins
    meta TEXT NOT NULL,       -- JSON: facts
    key TEXT NOT NULL,        -- hash of all that decides its chunks and what is known of them
    born INTEGER NOT NULL,
    died INTEGER
);
CREATE UNIQUE INDEX documents_alive ON documents (name) WHERE died IS NULL;
CREATE INDEX documents_of_file ON documents (file);
CREATE INDEX documents_of_text ON documents (text);
CREATE INDEX documents_dead ON documents (died) WHERE died IS NOT NULL;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    line INTEGER NOT NULL,
    page INTEGER,
    headings TEXT NOT NULL,   -- JSON
    content INTEGER NOT NULL
);
CREATE INDEX chunks_of_document ON chunks (document, start);
CREATE INDEX chunks_of_content ON chunks (content);
CREATE TABLE gone (chunk INTEGER PRIMARY KEY); -- deleted here, perhaps not yet in the vector store
CREATE TABLE contents (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE);
CREATE TABLE spaces (
    id INTEGER PRIMARY KEY,
    encoder TEXT NOT NULL UNIQUE, -- hash of its identity
    name TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    file TEXT NOT NULL
);
CREATE TABLE vectors (
    space INTEGER NOT NULL,
    content INTEGER NOT NULL,
    row INTEGER NOT NULL,
    checksum INTEGER NOT NULL, -- CRC-32 of the row's bytes
    PRIMARY KEY (space, content)
) WITHOUT ROWID;
"""


def connect_writer(folder: Path) -> sqlite3.Connection:
    """Open the database of an index, or make it; the caller holds the index's lock.

    Raises:
        InputError: the file is not an index, or an index of a newer lavra.
        DiskFullError: there is no room for it.
    """
    path = folder / DATABASE
    with full_disk_named(path):
        connection = _opened(f"{path.absolute().as_uri()}?mode=rwc", path)
        _prepare(connection, path)
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a committed document survives a loss of power too
        connection.execute("PRAGMA secure_delete = ON")  # the text of a deleted document is not left in the file
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            named = secrets.token_hex(4)  # distinguishes this index from others in a shared store
            first = f"('schema', '{SCHEMA_VERSION}'), ('published', '0'), ('index', '{named}')"
            connection.executescript(f"BEGIN; {_TABLES} INSERT INTO settings VALUES {first}; COMMIT;")
        _check_schema(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unusable(path, error) from error
    except BaseException:
        connection.close()
        raise


def connect_reader(folder: Path) -> sqlite3.Connection:
    """Open a read-only connection, for use by several threads in turn.

    Raises:
        InputError: there is no index, the file is not an index, or the index is of a newer lavra.
    """
    path = folder / DATABASE
    if not path.exists():
        raise InputError(f"{folder} is not an index; make one: lavra index FOLDER --index {folder}")
    uri = path.absolute().as_uri()
    try:
        connection = _opened(f"{uri}?mode=ro", path)
        try:
            _check_schema(connection, path)
        except (
            sqlite3.OperationalError
        ):  # write-ahead mode needs a file beside the database, which a read-only disk cannot have
            connection.close()
            connection = _opened(f"{uri}?mode=ro&immutable=1", path)
            _check_schema(connection, path)
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error
    return connection


def _opened(uri: str, path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error
    return connection


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn SQLite's errors of a full disk into an error that names the path and the free space.

    Raises:
        DiskFullError: the disk is full.
    """
    with naming_full_disk(path):
        try:
            yield
        except sqlite3.OperationalError as error:
            if _says_full(path, error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise


def _says_full(path: Path, error: sqlite3.Error) -> bool:
    """Whether an error means a full disk; SQLite has no error code for a disk without room for its shared memory."""
    name = getattr(error, "sqlite_errorname", "")
    return name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and free_bytes(path) < _SHARED_MEMORY)


def _unusable(path: Path, error: sqlite3.DatabaseError) -> Exception:
    if _says_full(path, error):
        return error
    return InputError(f"{path} cannot be read as an index ({error}); make the index again in another folder")


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("SELECT value FROM settings WHERE key = 'schema'").fetchone()
    if found is None or int(found[0]) != SCHEMA_VERSION:
        connection.close()
        raise InputError(
            f"{path} has version {found[0] if found else 'none'} and this lavra reads version {SCHEMA_VERSION}; "
            "make the index again in another folder"
        )


def published(connection: sqlite3.Connection) -> int:
    """The generation that readers see; 0 before the first is published."""
    return int(connection.execute("SELECT value FROM settings WHERE key = 'published'").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one transaction: all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
