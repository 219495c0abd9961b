"""Texts of documents in the database, stored in pieces: a passage is read without the rest of its document."""

from __future__ import annotations

import hashlib
import sqlite3

from lavra.rag.index.schema import PIECE


def text_hash(text: str) -> bytes:
    """The hash of a text, 16 bytes."""
    return hashlib.sha256(text.encode()).digest()[:16]


def keep_text(connection: sqlite3.Connection, text: str) -> int:
    """Store a text if it is new, and return its number; inside a transaction."""
    digest = text_hash(text)
    known = connection.execute("SELECT id FROM texts WHERE hash = ?", (digest,)).fetchone()
    if known is not None:
        return int(known[0])
    cursor = connection.execute("INSERT INTO texts (hash, length) VALUES (?, ?)", (digest, len(text)))
    number = int(cursor.lastrowid or 0)
    pieces = (text[first : first + PIECE].encode() for first in range(0, len(text), PIECE))
    connection.executemany(
        "INSERT INTO pieces (text, number, body) VALUES (?, ?, ?)",
        ((number, place, body) for place, body in enumerate(pieces)),
    )
    return number


def read_text(connection: sqlite3.Connection, text: int, start: int = 0, stop: int | None = None) -> str:
    """Read characters `start` to `stop` of a text; to its end unless given otherwise."""
    last = (1 << 62) if stop is None else max(stop - 1, 0) // PIECE
    first = start // PIECE
    found = connection.execute(
        "SELECT body FROM pieces WHERE text = ? AND number BETWEEN ? AND ? ORDER BY number", (text, first, last)
    )
    whole = "".join(body.decode() for (body,) in found)
    return whole[start - first * PIECE : None if stop is None else stop - first * PIECE]
