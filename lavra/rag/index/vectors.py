"""The vectors of an index: rows of a file that only grows, mapped into memory.

Each distinct text of a chunk has one row, found by the hash of the text: a chunk that moved, or that stands in ten
files, is embedded once.  Float32s are on the disk before the transaction that names them, so every vector that the
database knows is always there; the next writer cuts off the bytes that a killed writer left behind the last known row.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.arrays import Float32s, Int64s
from lavra.base.disk import naming_full_disk
from lavra.base.errors import InputError
from lavra.rag.index.encoder import EncoderIdentity
from lavra.rag.index.schema import transaction

_BLOCK: Final = 4096  # rows copied at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The vectors of one encoder.

    Attributes:
        id: number of the space in the database.
        name: name of the encoder.
        dimension: numbers of a vector.
        path: the file of rows, float32.
    """

    id: int
    name: str
    dimension: int
    path: Path


def find_space(connection: sqlite3.Connection, folder: Path, encoder: str | int) -> Space | None:
    """Find the vectors of an encoder, by its hash or by their number; `None` where there are none yet."""
    column = "id" if isinstance(encoder, int) else "encoder"
    row = connection.execute(f"SELECT id, name, dimension, file FROM spaces WHERE {column} = ?", (encoder,)).fetchone()
    if row is None:
        return None
    return Space(id=row[0], name=row[1], dimension=row[2], path=folder / row[3])


def make_space(connection: sqlite3.Connection, folder: Path, encoder: EncoderIdentity, dimension: int) -> Space:
    """Make a place for the vectors of a new encoder."""
    with transaction(connection):
        number = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM spaces").fetchone()[0]
        file = f"vectors-{number}-1.f32"
        connection.execute(
            "INSERT INTO spaces (id, encoder, name, dimension, file) VALUES (?, ?, ?, ?, ?)",
            (number, encoder.hash, encoder.name, dimension, file),
        )
    return Space(id=number, name=encoder.name, dimension=dimension, path=folder / file)


def open_rows(space: Space, count: int) -> Float32s:
    """Map the first rows of a file; (count, D)."""
    if not count:
        return np.zeros((0, space.dimension), dtype=np.float32)
    needed = count * space.dimension * 4
    if not space.path.exists() or space.path.stat().st_size < needed:
        raise InputError(
            f"{space.path} is missing or shorter than the {needed} bytes that the index knows of; restore it"
        )
    return np.memmap(space.path, dtype=np.float32, mode="r", shape=(count, space.dimension))


def rows_of(connection: sqlite3.Connection, space: Space, contents: Int64s) -> Float32s:
    """(N, D) the vector of each text, by its number."""
    asked = "SELECT content, row FROM vectors WHERE space = ? AND content BETWEEN ? AND ?"
    known = dict(connection.execute(asked, (space.id, int(contents.min(initial=0)), int(contents.max(initial=0)))))
    places = [known[content] for content in contents.tolist()]
    return np.asarray(open_rows(space, max(places, default=-1) + 1)[places])


def checksum(row: Float32s) -> int:
    """The CRC-32 of a row's bytes."""
    return zlib.crc32(row.tobytes())


class VectorWriter:
    """A writer that appends rows to the vectors of one encoder.

    Args:
        connection: the writer's connection.
        space: file and encoder of the vectors.
    """

    def __init__(self, connection: sqlite3.Connection, space: Space) -> None:
        self._connection = connection
        self._space = space
        asked = "SELECT coalesce(max(row) + 1, 0) FROM vectors WHERE space = ?"
        self._count = int(connection.execute(asked, (space.id,)).fetchone()[0])
        self._width = space.dimension * 4
        if self._count:
            open_rows(space, self._count)  # raises where the file lost rows
        with naming_full_disk(space.path), space.path.open("ab") as file:
            file.truncate(self._count * self._width)

    def append(self, contents: list[int], rows: Float32s) -> None:
        """Append one row for each content, all of them or none."""
        if rows.shape[1] != self._space.dimension:
            raise InputError(
                f"{self._space.name} gave vectors of {rows.shape[1]} numbers, and gave {self._space.dimension} before; "
                "it is now another encoder: name it again"
            )
        with naming_full_disk(self._space.path), self._space.path.open("r+b") as file:
            file.seek(self._count * self._width)
            file.write(np.ascontiguousarray(rows).tobytes())
            file.flush()
            os.fsync(file.fileno())
        values = [
            (self._space.id, content, self._count + number, checksum(row))
            for number, (content, row) in enumerate(zip(contents, rows, strict=True))
        ]
        with transaction(self._connection):
            self._connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", values)
        self._count += len(contents)


def compact(connection: sqlite3.Connection, folder: Path, space: Space) -> None:
    """Remove rows whose text no chunk has any more, where they are more than half of all.

    The rows are copied to a new file; readers go on with the file they have mapped.
    """
    used = "EXISTS (SELECT 1 FROM chunks WHERE chunks.content = vectors.content)"
    kept = connection.execute(
        f"SELECT content, row, checksum FROM vectors WHERE space = ? AND {used} ORDER BY row", (space.id,)
    )
    rows = kept.fetchall()
    total = connection.execute("SELECT coalesce(max(row) + 1, 0) FROM vectors WHERE space = ?", (space.id,)).fetchone()[
        0
    ]
    if 2 * len(rows) >= total:
        return
    turn = int(space.path.stem.rpartition("-")[2]) + 1
    path = folder / f"vectors-{space.id}-{turn}.f32"
    with naming_full_disk(path), path.open("wb") as file:
        for block in _blocks(open_rows(space, total), [row for _, row, _ in rows]):
            file.write(block.tobytes())
        file.flush()
        os.fsync(file.fileno())
    with transaction(connection):
        connection.execute("DELETE FROM vectors WHERE space = ?", (space.id,))
        connection.executemany(
            "INSERT INTO vectors VALUES (?, ?, ?, ?)",
            ((space.id, content, number, check) for number, (content, _, check) in enumerate(rows)),
        )
        connection.execute("UPDATE spaces SET file = ? WHERE id = ?", (path.name, space.id))
    space.path.unlink(missing_ok=True)


def _blocks(rows: Float32s, wanted: list[int]) -> Iterator[Float32s]:
    for first in range(0, len(wanted), _BLOCK):
        yield rows[wanted[first : first + _BLOCK]]
