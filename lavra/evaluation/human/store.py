"""A study in one SQLite file: its items, and every judgement from the moment it is given.

A judgement is on disk when `save` returns, so an annotator continues at the same place after a reload, a crash or a
break.  Tokens of links are kept only as hashes.  A study may be read while it is served.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import InputError, LavraError
from lavra.evaluation.human.items import Assignment, ItemKind, Judgement, StudyItem
from lavra.evaluation.human.study import Study, StudyConfig
from lavra.evaluation.human.tokens import holder
from lavra.evaluation.human.votes import Winner

FORMAT: Final = 1
"""Version of the tables; it is raised when their meaning changes."""

_TABLES: Final = """
CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE items (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, question_id TEXT NOT NULL, prompt TEXT NOT NULL,
    model_a TEXT NOT NULL, answer_a TEXT NOT NULL, model_b TEXT NOT NULL, answer_b TEXT NOT NULL,
    reference TEXT NOT NULL, expected TEXT NOT NULL, expected_winner TEXT
);
CREATE TABLE annotators (number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, token_hash TEXT);
CREATE TABLE assignments (
    annotator INTEGER NOT NULL REFERENCES annotators, place INTEGER NOT NULL, item INTEGER NOT NULL REFERENCES items,
    swapped INTEGER NOT NULL, PRIMARY KEY (annotator, place), UNIQUE (annotator, item)
);
CREATE TABLE judgements (
    annotator INTEGER NOT NULL, item INTEGER NOT NULL, ratings TEXT NOT NULL, winner TEXT, skipped INTEGER NOT NULL,
    comment TEXT NOT NULL, seconds REAL NOT NULL, done INTEGER NOT NULL, at TEXT NOT NULL, turn INTEGER NOT NULL,
    PRIMARY KEY (annotator, item), FOREIGN KEY (annotator, item) REFERENCES assignments (annotator, item)
);
"""


class StudyClosedError(LavraError):
    """The error of a closed study, which takes no more judgements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenJudgement:
    """A judgement and its annotator.

    Attributes:
        annotator: name of the annotator.
        item: the judged item.
        swapped: PAIR: whether `model_b`'s answer was shown first.
        judgement: the annotator's judgement.
        at: time of the judgement, ISO 8601 in UTC.
    """

    annotator: str
    item: StudyItem
    swapped: bool
    judgement: Judgement
    at: str


class StudyStore:
    """The store of an existing study.

    Args:
        path: path of its file.

    Raises:
        InputError: the file does not exist, or is not a study of this version of lavra.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"there is no study {path}; make one: `lavra rate new STUDY --answers FILE`")
        self.path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA foreign_keys = ON")
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")  # one flush for each judgement; readers never wait
            facts = dict(self._connection.execute("SELECT name, value FROM study"))
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise InputError(f"{path} is not a study ({error}); name a file that `lavra rate new` has made") from None
        if facts.get("format") != str(FORMAT):
            self._connection.close()
            raise InputError(
                f"{path} has format {facts.get('format')}, this lavra reads {FORMAT}; open it with the lavra that "
                "made it"
            )
        self.config = from_mapping(StudyConfig, json.loads(facts["config"]), str(path))
        self.items = {item.number: item for item in map(_item, self._connection.execute("SELECT * FROM items"))}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # ------------------------------------------------------------ annotators

    def annotators(self) -> dict[int, str]:
        """The names of the annotators, by number."""
        return dict(self._rows("SELECT number, name FROM annotators ORDER BY number"))

    def holder(self, token: str) -> int | None:
        """The number of the annotator whose link has this token, `None` if no link has it."""
        return holder(token, dict(self._rows("SELECT number, token_hash FROM annotators WHERE token_hash IS NOT NULL")))

    def set_token_hashes(self, hashes: Mapping[int, str]) -> None:
        """Give annotators new tokens; their old tokens become invalid."""
        with self._writing() as connection:
            for number, kept in hashes.items():
                connection.execute("UPDATE annotators SET token_hash = ? WHERE number = ?", (kept, number))

    # ------------------------------------------------------------ open or closed

    @property
    def is_closed(self) -> bool:
        """Whether the study takes no more judgements."""
        return bool(self._rows("SELECT 1 FROM study WHERE name = 'closed'"))

    def set_closed(self, closed: bool) -> None:
        """Close the study to judgements, or open it again."""
        with self._writing() as connection:
            connection.execute("DELETE FROM study WHERE name = 'closed'")
            if closed:
                connection.execute("INSERT INTO study VALUES ('closed', ?)", (_now(),))

    # ------------------------------------------------------------ judging

    def num_assigned(self, annotator: int) -> int:
        """The number of items of an annotator."""
        return int(self._rows("SELECT count(*) FROM assignments WHERE annotator = ?", annotator)[0][0])

    def places_done(self, annotator: int) -> list[int]:
        """The places of the items that the annotator is done with, in order."""
        query = (
            "SELECT place FROM assignments JOIN judgements USING (annotator, item)"
            " WHERE annotator = ? AND done ORDER BY place"
        )
        return [int(place) for (place,) in self._rows(query, annotator)]

    def assignment(self, annotator: int, place: int) -> Assignment | None:
        """The item at a place of an annotator's order, `None` if the place does not exist."""
        query = "SELECT annotator, place, item, swapped FROM assignments WHERE annotator = ? AND place = ?"
        for whose, at, item, swapped in self._rows(query, annotator, place):
            return Assignment(annotator=whose, place=at, item=item, swapped=bool(swapped))
        return None

    def judgement(self, annotator: int, item: int) -> Judgement | None:
        """The annotator's judgement of an item, draft or not, `None` if there is none."""
        query = f"SELECT {_SAID} FROM judgements WHERE annotator = ? AND item = ?"
        return next((_judgement(row) for row in self._rows(query, annotator, item)), None)

    def save(self, annotator: int, item: int, judgement: Judgement) -> None:
        """Save a judgement in place of the annotator's earlier judgement.

        Raises:
            InputError: the item is not the annotator's, or the judgement does not fit it.
            StudyClosedError: the study is closed.
        """
        check_judgement(self.items[item], judgement, self.config.scales)
        with self._writing() as connection:
            if connection.execute("SELECT 1 FROM study WHERE name = 'closed'").fetchone():
                raise StudyClosedError("this study is closed; nothing more can be saved")
            _write(connection, annotator, item, judgement, _now())

    def undo(self, annotator: int) -> int | None:
        """Turn the annotator's last judgement into a draft and return its place, or `None` if nothing is done."""
        query = (
            "SELECT place, item FROM judgements JOIN assignments USING (annotator, item)"
            " WHERE annotator = ? AND done ORDER BY turn DESC LIMIT 1"
        )
        with self._writing() as connection:
            if connection.execute("SELECT 1 FROM study WHERE name = 'closed'").fetchone():
                raise StudyClosedError("this study is closed; nothing can be changed")
            found = connection.execute(query, (annotator,)).fetchone()
            if found is None:
                return None
            connection.execute("UPDATE judgements SET done = 0 WHERE annotator = ? AND item = ?", (annotator, found[1]))
        return int(found[0])

    # ------------------------------------------------------------ reading and bringing in

    def given(self) -> list[GivenJudgement]:
        """All judgements that are done, by annotator and in the order in which they were given."""
        query = (
            f"SELECT name, judgements.item, swapped, at, {_SAID} FROM judgements"
            " JOIN assignments USING (annotator, item) JOIN annotators ON annotators.number = judgements.annotator"
            " WHERE done ORDER BY judgements.annotator, turn"
        )
        return [
            GivenJudgement(
                annotator=name, item=self.items[item], swapped=bool(swapped), judgement=_judgement(judgement), at=at
            )
            for name, item, swapped, at, *judgement in self._rows(query)
        ]

    def bring_in(self, given: Iterable[GivenJudgement]) -> None:
        """Add judgements that were given elsewhere: all of them, or none if a judgement cannot be added.

        Raises:
            InputError: an annotator has judged an item already.
        """
        listed = list(given)
        with self._writing() as connection:
            people = [(name,) for name in dict.fromkeys(one.annotator for one in listed)]
            connection.executemany("INSERT OR IGNORE INTO annotators (name) VALUES (?)", people)
            numbers = dict(connection.execute("SELECT name, number FROM annotators"))
            for one in listed:
                annotator, item = numbers[one.annotator], one.item.number
                _assign(connection, annotator, item, one.swapped)
                query = "SELECT 1 FROM judgements WHERE annotator = ? AND item = ? AND done"
                if connection.execute(query, (annotator, item)).fetchone():
                    raise InputError(
                        f"{one.annotator!r} has judged {_called(one.item)} already; take it out of the file, or give "
                        "the annotator another name"
                    )
                _write(connection, annotator, item, one.judgement, one.at or _now())

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction as a writer, so that the data it reads stays unchanged until it ends."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection


def create_study(path: Path, study: Study, token_hashes: Mapping[int, str]) -> None:
    """Write a study to a new file.

    Args:
        path: path of the file.
        study: the planned study.
        token_hashes: hashes of the tokens in annotators' links, by number of the annotator.

    Raises:
        InputError: the file exists.
    """
    if path.exists():
        raise InputError(f"{path} exists; name another file, or remove it with all its judgements")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".tmp-{path.name}")
    part.unlink(missing_ok=True)
    connection = sqlite3.connect(part)
    with connection:
        connection.executescript(_TABLES)
        facts = {"format": str(FORMAT), "created": _now(), "config": json.dumps(to_mapping(study.config))}
        connection.executemany("INSERT INTO study VALUES (?, ?)", facts.items())
        connection.executemany(f"INSERT INTO items VALUES ({', '.join('?' * 11)})", map(_item_row, study.items))
        people = [(number, f"annotator-{number}", kept) for number, kept in token_hashes.items()]
        connection.executemany("INSERT INTO annotators VALUES (?, ?, ?)", people)
        rows = [(one.annotator, one.place, one.item, one.swapped) for one in study.assignments]
        connection.executemany("INSERT INTO assignments VALUES (?, ?, ?, ?)", rows)
    connection.close()
    part.rename(path)  # a reader never sees half a study


def check_judgement(item: StudyItem, judgement: Judgement, scales: Iterable[str]) -> None:
    """Refuse a judgement that does not fit its item.

    Raises:
        InputError: the judgement is of another kind, a rating is not 1 to 5, or it is done and a part is missing.
    """
    asked = set(scales) if item.kind is ItemKind.RATING else set()
    for scale, step in judgement.ratings.items():
        if scale not in asked:
            raise InputError(f"{scale!r} is not asked of this item; asked: {', '.join(sorted(asked)) or 'no scale'}")
        if step is not None and not 1 <= step <= 5:
            raise InputError(f"{scale} is {step}; give 1 to 5")
    if judgement.winner is not None and item.kind is not ItemKind.PAIR:
        raise InputError("a winner is given and there is one answer; give ratings")
    if not judgement.done or judgement.skipped:
        return
    missing = sorted(asked - set(judgement.ratings))
    if missing:
        raise InputError(f"{', '.join(missing)} is not rated; rate it, or skip the item")
    if item.kind is ItemKind.PAIR and judgement.winner is None:
        raise InputError("no winner is given; choose one, a tie, or skip the item")


_SAID: Final = "ratings, winner, skipped, comment, seconds, done"


def _judgement(row: Iterable[Any]) -> Judgement:
    ratings, winner, skipped, comment, seconds, done = row
    return Judgement(
        ratings=json.loads(ratings),
        winner=None if winner is None else Winner(winner),
        skipped=bool(skipped),
        comment=comment,
        seconds=seconds,
        done=bool(done),
    )


def _write(connection: sqlite3.Connection, annotator: int, item: int, judgement: Judgement, at: str) -> None:
    turn = connection.execute("SELECT coalesce(max(turn), 0) + 1 FROM judgements").fetchone()[0]
    values = (
        annotator,
        item,
        json.dumps(dict(judgement.ratings)),
        None if judgement.winner is None else judgement.winner.value,
        judgement.skipped,
        judgement.comment,
        judgement.seconds,
        judgement.done,
        at,
        turn,
    )
    try:
        connection.execute(f"INSERT OR REPLACE INTO judgements VALUES ({', '.join('?' * 10)})", values)
    except sqlite3.IntegrityError:
        raise InputError(f"item {item} is not among those of annotator {annotator}") from None


def _assign(connection: sqlite3.Connection, annotator: int, item: int, swapped: bool) -> None:
    """Put an item at the end of an annotator's order, unless the order already has it."""
    connection.execute(
        "INSERT OR IGNORE INTO assignments SELECT ?, coalesce(max(place), 0) + 1, ?, ? FROM assignments"
        " WHERE annotator = ?",
        (annotator, item, swapped, annotator),
    )


def _item(row: tuple[Any, ...]) -> StudyItem:
    number, kind, question_id, prompt, model_a, answer_a, model_b, answer_b, reference, expected, winner = row
    return StudyItem(
        number=number,
        kind=ItemKind(kind),
        question_id=question_id,
        prompt=prompt,
        model_a=model_a,
        answer_a=answer_a,
        model_b=model_b,
        answer_b=answer_b,
        reference=reference,
        expected=json.loads(expected),
        expected_winner=None if winner is None else Winner(winner),
    )


def _item_row(item: StudyItem) -> tuple[Any, ...]:
    values = asdict(item)
    winner = item.expected_winner
    return tuple(
        (
            values
            | {
                "kind": item.kind.value,
                "expected": json.dumps(dict(item.expected)),
                "expected_winner": None if winner is None else winner.value,
            }
        ).values()
    )


def _called(item: StudyItem) -> str:
    models = f"{item.model_a} and {item.model_b}" if item.kind is ItemKind.PAIR else item.model_a
    return f"question {item.question_id!r} of {models}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
