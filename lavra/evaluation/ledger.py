"""The ledger of an evaluation: every answer that was computed or paid for, kept in SQLite as soon as it is known.

Each sample has a row.  Its key is a hash of the model, the task, the prompt and the settings that change the answer, so
the same question to the same model is asked once.  The rows of a chunk are written in one transaction (write-ahead log,
synchronous), so a process killed at any moment leaves whole chunks behind; the next run asks only for the others.
A row holds the prompt too: a reader can follow every score down to the prompt and the answer.

One evaluation at a time writes to a ledger; another waits or is refused.  Reading needs no lock.

Deliberately absent: rows of unscored samples, which are asked again, and any removal of old rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lavra.base.disk import naming_full_disk
from lavra.base.errors import DiskFullError, InputError
from lavra.base.files import hash_json
from lavra.base.lock import locked
from lavra.evaluation.items import EvalItem, ItemScore, Response

SCHEMA_VERSION = 1
_LOOKED_UP = 500  # keys of a query; SQLite allows at least 999 variables
_WAIT = 30.0  # seconds for another connection's transaction
_TABLE = """
CREATE TABLE IF NOT EXISTS samples (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    task TEXT NOT NULL,
    doc_id INTEGER NOT NULL,
    task_hash TEXT NOT NULL,
    prompt_hash TEXT NOT NULL,
    settings TEXT NOT NULL,
    asked TEXT NOT NULL,
    response TEXT NOT NULL,
    score TEXT NOT NULL,
    seconds REAL NOT NULL,
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS samples_by_task ON samples (task, doc_id);
"""


@dataclass(frozen=True, kw_only=True)
class SampleKey:
    """All inputs that determine a model's answer to an item.

    Attributes:
        model: hash of the model.
        task: hash of the task's file.
        item: the item itself.
        settings: other settings that change the answer, as plain data.
    """

    model: str
    task: str
    item: EvalItem
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """16 hex digits."""
        item = self.item
        asked = [item.task, item.doc_id, item.kind.value, item.prompt_hash]
        return hash_json([self.model, self.task, asked, _answering(item), dict(self.settings)])


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """A sample as the ledger keeps it.

    Attributes:
        model: hash of the model.
        task: name of the task.
        doc_id: number of the row in the task's split.
        asked: input of the model: `prompt`, or `contexts` and `pairs` (number of a context, continuation).
        response: answer of the model.
        score: `values` by `metric,filter`, and `answers` by filter.
        seconds: time that the answer took.
        created: time of writing, ISO 8601, UTC.
    """

    model: str
    task: str
    doc_id: int
    asked: Mapping[str, Any]
    response: Response
    score: Mapping[str, Any]
    seconds: float
    created: str


class Ledger:
    """A ledger that is open for one evaluation; close it, or use it as a context manager.

    Args:
        path: file of the ledger; it is created if it does not exist.
        wait: wait until another evaluation that writes to it ends, instead of raising an error.

    Raises:
        InputError: another evaluation is writing to it, or the file is not a ledger.
        DiskFullError: the disk has no room for it.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        self.path = path
        self._open = ExitStack()
        remedy = "name another ledger with `ledger`"
        try:
            self._open.enter_context(locked(path, wait=wait, remedy=remedy))
            self._connection = self._open.enter_context(_connection(path))
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release its lock."""
        self._open.close()

    def find(self, keys: Sequence[str]) -> dict[str, LedgerRow]:
        """Look keys up and return the rows that exist, by key."""
        found: dict[str, LedgerRow] = {}
        with _readable_errors(self.path):
            for first in range(0, len(keys), _LOOKED_UP):
                some = keys[first : first + _LOOKED_UP]
                marks = ",".join("?" * len(some))
                for key, *row in self._connection.execute(
                    f"SELECT key, {_COLUMNS} FROM samples WHERE key IN ({marks})", some
                ):
                    found[key] = _row(row)
        return found

    def add(self, keys: Sequence[SampleKey], scores: Sequence[ItemScore], seconds: float) -> None:
        """Keep the samples of a chunk, all of them or none.

        Args:
            keys: a key for each sample.
            scores: the item scores, in the same order.
            seconds: time that the chunk took; it is shared evenly among the samples.

        Raises:
            DiskFullError: the disk has no room; the earlier rows stay whole.
        """
        share = seconds / max(len(keys), 1)
        rows = [_values(key, score, share) for key, score in zip(keys, scores, strict=True)]
        with _readable_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO samples (key, model, task, doc_id, task_hash, prompt_hash, settings, "
                    "asked, response, score, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise


def read_samples(path: Path, task: str, doc_id: int, model: str | None = None) -> list[LedgerRow]:
    """Read the rows of one item, the newest first.

    Args:
        path: file of the ledger.
        task: name of the task.
        doc_id: number of the item.
        model: hash of a model, to read its rows only.

    Raises:
        InputError: the ledger does not exist, or has no such row.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; name the ledger of an evaluation with `ledger`")
    with _readable_errors(path), _connection(path) as connection:
        asked = f"SELECT {_COLUMNS} FROM samples WHERE task = ? AND doc_id = ? ORDER BY created DESC"
        found = [_row(row) for row in connection.execute(asked, (task, doc_id))]
        if not found:
            known = sorted(name for (name,) in connection.execute("SELECT DISTINCT task FROM samples"))
            raise InputError(f"{path} has no sample {task}#{doc_id}; its tasks are: {', '.join(known) or 'none'}")
    return [row for row in found if model is None or row.model == model]


_COLUMNS = "model, task, doc_id, asked, response, score, seconds, created"


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection whose table exists and has a version that this code reads."""
    with _readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    try:
        with _readable_errors(path):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _check_version(path, connection)
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLE} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        yield connection
    finally:
        connection.close()


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version != SCHEMA_VERSION and tables:
        raise InputError(
            f"{path} is a database of version {version}, and this lavra reads ledgers of version {SCHEMA_VERSION}; "
            "name another ledger with `ledger`"
        )


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into errors of lavra with a readable message."""
    try:
        with naming_full_disk(path):
            yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise DiskFullError(f"{path}: {error}; free some space, or name another ledger with `ledger`") from error
        raise InputError(
            f"{path}: {error}; see that it can be written, or name another ledger with `ledger`"
        ) from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} is not a ledger ({error}); remove it, or name another with `ledger`") from error


def _answering(item: EvalItem) -> dict[str, Any] | None:
    return None if item.generation is None else asdict(item.generation)


def _values(key: SampleKey, score: ItemScore, seconds: float) -> tuple[object, ...]:
    settings = {**key.settings, "generation": _answering(key.item)}
    kept = {
        "values": {f"{metric},{name}": value for (name, metric), value in score.values.items()},
        "answers": dict(score.answers),
        "extraction_failed": list(score.extraction_failed),
    }
    texts = [
        json.dumps(one, ensure_ascii=False, default=str)
        for one in (settings, _asked(key.item), _response_fields(score.response), kept)
    ]
    item = key.item
    return (key.hash, key.model, item.task, item.doc_id, key.task, item.prompt_hash, *texts, seconds)


def _asked(item: EvalItem) -> dict[str, Any]:
    """The prompt, or all pairs; a context that several pairs share is written once."""
    if not item.pairs:
        return {"prompt": item.prompt}
    contexts = list(dict.fromkeys(pair.context for pair in item.pairs))
    return {
        "contexts": contexts,
        "pairs": [[contexts.index(pair.context), pair.continuation] for pair in item.pairs],
        "choices": list(item.choices),
        "gold": item.gold,
    }


def _response_fields(response: Response) -> dict[str, Any]:
    fields = asdict(response)
    return {name: value for name, value in fields.items() if name != "unscored"}


def _row(row: Sequence[Any]) -> LedgerRow:
    model, task, doc_id, asked, response, score, seconds, created = row
    fields: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in json.loads(response).items()
    }
    return LedgerRow(
        model=model,
        task=task,
        doc_id=doc_id,
        asked=json.loads(asked),
        response=Response(**fields),
        score=json.loads(score),
        seconds=seconds,
        created=created,
    )
