"""Rows on disk that the embedded stores share: vectors in one file, ids and facts in SQLite beside it.

`vectors-N.f32` holds one row of float32 after another and only ever grows; it is mapped into memory, so that many
readers share one copy of it.  `rows.db` decides which rows count: each commit adds a batch (where its vectors begin,
their ids, the codes of their facts, and the older rows that the batch replaces or removes).  Vectors are on disk before
the batch is, so a process that is killed leaves at most bytes behind the last row that counts, which the next writer
overwrites.

A reader keeps the state it opened: rows never change, and a concurrent writer only adds.  When more rows are dead than
alive, a writer copies the living ones to the next file and drops the old one in the same commit; a reader that has the
old file open goes on reading it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int64s
from lavra.base.disk import full_disk_message, naming_full_disk
from lavra.base.errors import DiskFullError, InputError
from lavra.base.retrieval import MetaValue, Where
from lavra.rag.stores.checks import check_entries
from lavra.rag.stores.facts import FactColumns, check_conditions, facts_text

_FORMAT: Final = "1"
_WAIT: Final = 60.0  # seconds for which a writer waits for another
_LEAST_DEAD: Final = 1_024  # number of rows below which copying the living rows does not pay
_COPIED_ROWS: Final = 1 << 14
_TABLES: Final = """
create table if not exists about (name text primary key, value text not null);
create table if not exists facts (code integer primary key, text text not null);
create table if not exists batches (
    number integer primary key autoincrement, start integer not null, ids blob not null, codes blob not null,
    dead blob not null
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsView:
    """A view of the rows at one moment; later rows are in other views.

    Attributes:
        file: name of the file of the vectors; rows of the same number are the same in all views of one file.
        vectors: (N, D) all rows, dead ones too; mapped.
        ids: (N,) their ids.
        codes: (N,) codes of their facts.
        alive: (N,) whether each row counts.
    """

    file: str
    vectors: Float32s
    ids: Int64s
    codes: npt.NDArray[np.int32]
    alive: npt.NDArray[np.bool_]


class VectorRows:
    """Vectors, their ids and facts in a folder.

    Attributes:
        dimension: D, numbers of a vector.
        now: the current view; a search reads it once.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        """Open or make the folder.

        Raises:
            InputError: the folder holds vectors of another width, or is damaged.
            DiskFullError: there is no room to make it.
        """
        self.folder, self.dimension = folder, dimension
        self._database = folder / "rows.db"
        if not self._database.exists():
            self._make()
        self._forget()
        with self._reading() as database:
            self._catch_up(database)

    # ------------------------------------------------------------------ reading

    def allowed(self, view: RowsView, where: Where = ()) -> npt.NDArray[np.bool_]:
        """Whether each row of a view counts and its facts meet every condition, (N,)."""
        check_conditions(where)
        return view.alive & self._facts.meeting(where)[view.codes] if where else view.alive

    def count(self, where: Where = ()) -> int:
        """Count the rows that count and whose facts meet every condition."""
        return int(np.count_nonzero(self.allowed(self.now, where)))

    def note(self, name: str) -> str | None:
        """Read a text kept with the rows under a name."""
        return self._about.get(name)

    # ------------------------------------------------------------------ writing

    def add(self, ids: Int64s, vectors: Float32s, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """Add rows, or replace those of ids that are there, in one commit.

        Raises:
            InputError: nothing was added; the message gives the reason.
            DiskFullError: nothing was added.
        """
        check_entries(ids, vectors, metadata, self.dimension)
        texts = [facts_text(facts) for facts in metadata]
        if not len(ids):
            return
        with self._writing() as database:
            codes, fresh = self._facts.codes(texts)
            database.executemany("insert into facts values (?, ?)", list(enumerate(fresh, len(self._facts))))
            self._append(vectors)
            self._insert(database, ids, np.array(codes, dtype=np.int32), self._rows_of(ids))
        self._load()
        self._compact_when_due()

    def delete(self, ids: Int64s) -> None:
        """Remove rows by id, in one commit; unknown ids are ignored."""
        with self._writing() as database:
            dead = self._rows_of(ids)
            if len(dead):
                nothing = np.empty(0, dtype=np.int64)
                self._insert(database, nothing, nothing.astype(np.int32), dead)
        self._load()
        self._compact_when_due()

    def set_notes(self, notes: Mapping[str, str]) -> None:
        """Keep texts with the rows, in one commit."""
        with self._writing() as database:
            database.executemany("insert or replace into about values (?, ?)", list(notes.items()))
        self._load()

    def _compact_when_due(self) -> None:
        alive = self.now.alive
        dead = len(alive) - int(np.count_nonzero(alive))
        if dead > max(_LEAST_DEAD, len(alive) // 2):
            self._compact()

    def _compact(self) -> None:
        """Copy the living rows to the next file; notes about the old rows are dropped."""
        with self._writing() as database:
            view, old = self.now, self._file()
            rows = np.flatnonzero(view.alive)
            name = f"vectors-{int(old.stem.partition('-')[2]) + 1}.f32"
            with (self.folder / name).open("wb") as file:
                for start in range(0, len(rows), _COPIED_ROWS):
                    file.write(view.vectors[rows[start : start + _COPIED_ROWS]].tobytes())
                file.flush()
                os.fsync(file.fileno())
            ids, codes = view.ids[rows], view.codes[rows]
            database.execute("delete from batches")
            kept = [("format", _FORMAT), ("dimension", str(self.dimension)), ("vectors", name)]
            database.execute("delete from about")
            database.executemany("insert into about values (?, ?)", kept)
            self._insert(database, ids, codes, np.empty(0, dtype=np.int64), start=0)
        self._load()
        old.unlink(missing_ok=True)

    # ------------------------------------------------------------------ on disk

    def _make(self) -> None:
        with naming_full_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "vectors-0.f32").touch()
            with closing(self._connect()) as database, database:
                database.executescript(_TABLES)
                notes = [("format", _FORMAT), ("dimension", str(self.dimension)), ("vectors", "vectors-0.f32")]
                database.executemany("insert or ignore into about values (?, ?)", notes)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=_WAIT, isolation_level=None)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Read one consistent view of the database."""
        try:
            with closing(self._connect()) as database:
                database.execute("begin")
                yield database
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._database} cannot be read: {error}; index anew") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Write one commit, by one writer at a time, on top of any other writer's commits."""
        with naming_full_disk(self.folder), closing(self._connect()) as database:
            try:
                database.execute("begin immediate")
                self._catch_up(database)
                yield database
                database.execute("commit")
            except sqlite3.OperationalError as error:
                if "disk is full" in str(error):
                    raise DiskFullError(full_disk_message(self.folder, "the disk is full")) from error
                if "locked" in str(error):
                    raise InputError(
                        f"another process has been writing to {self.folder} for {_WAIT:.0f} seconds; wait for it to end"
                    ) from error
                raise

    def _insert(
        self,
        database: sqlite3.Connection,
        ids: Int64s,
        codes: npt.NDArray[np.int32],
        dead: Int64s,
        start: int | None = None,
    ) -> None:
        values = (len(self.now.ids) if start is None else start, ids.tobytes(), codes.tobytes(), dead.tobytes())
        database.execute("insert into batches (start, ids, codes, dead) values (?, ?, ?, ?)", values)

    def _append(self, vectors: Float32s) -> None:
        """Write vectors behind the last row that counts."""
        with self._file().open("r+b") as file:
            file.truncate(len(self.now.ids) * self.dimension * 4)
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(vectors, dtype=np.float32).data)
            file.flush()
            os.fsync(file.fileno())

    def _file(self) -> Path:
        return self.folder / self._about["vectors"]

    # ------------------------------------------------------------------ in memory

    def _forget(self) -> None:
        self._seen = 0  # number of the last batch that was read
        self._about: dict[str, str] = {}
        self._facts = FactColumns()
        self.now = RowsView(
            file="",
            vectors=np.empty((0, self.dimension), dtype=np.float32),
            ids=np.empty(0, dtype=np.int64),
            codes=np.empty(0, dtype=np.int32),
            alive=np.empty(0, dtype=np.bool_),
        )

    def _load(self) -> None:
        with self._reading() as database:
            self._catch_up(database)

    def _catch_up(self, database: sqlite3.Connection) -> None:
        """Read the commits since the last call; everything, where the rows moved to another file."""
        about = dict(database.execute("select name, value from about"))
        self._check(about)
        if about.get("vectors") != self._about.get("vectors"):
            self._forget()
        self._about = about
        facts = database.execute("select text from facts where code >= ? order by code", (len(self._facts),))
        self._facts.add([text for (text,) in facts])
        batches = database.execute(
            "select number, ids, codes, dead from batches where number > ? order by number", (self._seen,)
        ).fetchall()
        if batches:
            self._take(batches)

    def _take(self, batches: Sequence[tuple[int, bytes, bytes, bytes]]) -> None:
        self._seen = batches[-1][0]
        ids = np.frombuffer(b"".join(batch[1] for batch in batches), dtype=np.int64)
        codes = np.frombuffer(b"".join(batch[2] for batch in batches), dtype=np.int32)
        dead = np.frombuffer(b"".join(batch[3] for batch in batches), dtype=np.int64)
        view = self.now
        alive = np.concatenate([view.alive, np.ones(len(ids), dtype=np.bool_)])
        alive[dead] = False  # a row is dead for good, so the order of the batches does not matter
        self.now = RowsView(
            file=self._about["vectors"],
            vectors=self._mapped(len(alive)),
            ids=np.concatenate([view.ids, ids]),
            codes=np.concatenate([view.codes, codes]),
            alive=alive,
        )

    def _mapped(self, count: int) -> Float32s:
        file = self._file()
        if not count:
            return np.empty((0, self.dimension), dtype=np.float32)
        if not file.exists() or file.stat().st_size < count * self.dimension * 4:
            raise InputError(f"{file} is shorter than the {count} vectors that {self._database} counts; index anew")
        return np.memmap(file, dtype=np.float32, mode="r", shape=(count, self.dimension))

    def _check(self, about: Mapping[str, str]) -> None:
        if about.get("format") != _FORMAT:
            raise InputError(f"{self.folder} has format {about.get('format')}, this lavra reads {_FORMAT}; index anew")
        if about.get("dimension") != str(self.dimension):
            raise InputError(
                f"{self.folder} keeps vectors of {about.get('dimension')} numbers, not of {self.dimension}; "
                "use the encoder that the index was made with, or index anew"
            )

    def _rows_of(self, ids: Int64s) -> Int64s:
        """Find the living rows of ids."""
        known = self.now.ids
        if not len(ids) or not len(known) or int(ids.min()) > int(known.max()):
            return np.empty(0, dtype=np.int64)  # numbers that rise, the usual case
        return np.flatnonzero(self.now.alive & np.isin(known, ids)).astype(np.int64)
