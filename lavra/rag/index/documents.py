"""Write documents and chunks: equal documents stay, changed ones are retired and written anew.

A document is identified by its name and by the hash of everything that decides its chunks and its facts.
is the same, nothing is written.  Otherwise the old document dies in the generation being made and a new document is
born in it; readers of the published generation go on with the old one.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lavra.base.convert import to_mapping
from lavra.base.files import hash_json, hash_text
from lavra.base.retrieval import MetaValue
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.texts import keep_text, text_hash
from lavra.rag.stores.facts import facts_text
from lavra.text.chunking.chunk import chunk_spans
from lavra.text.chunking.tokens import word_tokens
from lavra.text.whole import ChunkSpan, WholeText

CHUNKING_VERSION = 1
"""The version of chunking, raised by hand when chunkers give other chunks for the same settings."""

MODIFIED = "modified"
"""The name of the fact with the time when a document's file was changed."""
_CHUNK = "start, stop, line, page, headings, content"

Chunker = Callable[[WholeText], list[ChunkSpan]]


@dataclass(frozen=True, kw_only=True)
class Chunking:
    """A way of cutting documents into chunks, with its hash.

    Attributes:
        cut: function that gives the chunks of a document.
        key: hash of everything that decides the chunks.
    """

    cut: Chunker
    key: str


def chunking_of(config: IndexConfig, embedder: NamedEmbedder | None) -> Chunking:
    """The chunker of an index; it counts in the encoder's tokens where those are known."""
    tokens = word_tokens if embedder is None or embedder.tokens is None else embedder.tokens
    encoder = None if config.encoder is None else config.encoder.hash

    def cut(whole: WholeText) -> list[ChunkSpan]:
        return chunk_spans(whole, config.chunking, tokens, None if embedder is None else embedder.embed)

    return Chunking(cut=cut, key=hash_json([CHUNKING_VERSION, to_mapping(config.chunking), encoder]))


class GenerationWriter:
    """A writer of the documents of one generation.

    Args:
        connection: the writer's connection; every method is called inside a transaction.
        generation: number of the generation being made.
        chunking: the way documents become chunks.
    """

    def __init__(self, connection: sqlite3.Connection, generation: int, chunking: Chunking) -> None:
        self._connection = connection
        self._generation = generation
        self._chunking = chunking

    def alive_in(self, file: str) -> dict[str, tuple[int, str]]:
        """The number and key of each document of a file, by name."""
        found = self._connection.execute("SELECT name, id, key FROM documents WHERE file = ? AND died IS NULL", (file,))
        return {name: (number, key) for name, number, key in found}

    def key(self, whole: WholeText, meta: Mapping[str, MetaValue]) -> str:
        """The hash of everything that decides a document's chunks and facts."""
        chunks = hash_json([text_hash(whole.text).hex(), whole.kind, layout_of(whole), self._chunking.key])
        return f"{chunks}-{hash_text(facts_text(meta))}"

    def add(self, whole: WholeText, file: str, meta: Mapping[str, MetaValue], key: str) -> None:
        """Write a document and its chunks."""
        text = keep_text(self._connection, whole.text)
        document = (whole.name, file, text, whole.kind, json.dumps(whole.page_starts), facts_text(meta), key)
        lines = line_starts(whole.text)
        self._insert(document, [self._chunk_row(whole, span, lines) for span in self._chunking.cut(whole)])

    def _chunk_row(self, whole: WholeText, span: ChunkSpan, lines: Sequence[int]) -> tuple[Any, ...]:
        content = self._content(whole.text[span.start : span.end])
        headings = json.dumps(whole.heading_path(span.start), ensure_ascii=False)
        line = bisect_right(lines, span.start)
        return span.start, span.end, line, whole.page(span.start), headings, content

    def _content(self, text: str) -> int:
        digest = text_hash(text)
        self._connection.execute("INSERT OR IGNORE INTO contents (hash) VALUES (?)", (digest,))
        return int(self._connection.execute("SELECT id FROM contents WHERE hash = ?", (digest,)).fetchone()[0])

    def restamp(self, file: str, old: str, new: str) -> None:
        """Give the documents of a file that was touched its new time; the file is the same, so their chunks stay."""
        for number, _ in self.alive_in(file).values():
            name, text, kind, pages, written, key = self._connection.execute(
                "SELECT name, text, kind, pages, meta, key FROM documents WHERE id = ?", (number,)
            ).fetchone()
            meta = meta_of(written)
            if meta.get(MODIFIED) != old:
                continue
            chunks = self._connection.execute(
                f"SELECT {_CHUNK} FROM chunks WHERE document = ? ORDER BY id", (number,)
            ).fetchall()
            self.retire(number)
            facts = facts_text({**meta, MODIFIED: new})
            keyed = f"{key.partition('-')[0]}-{hash_text(facts)}"
            self._insert((name, file, text, kind, pages, facts, keyed), chunks)

    def _insert(self, document: tuple[Any, ...], chunks: Sequence[tuple[Any, ...]]) -> None:
        cursor = self._connection.execute(
            "INSERT INTO documents (name, file, text, kind, pages, meta, key, born) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*document, self._generation),
        )
        self._connection.executemany(
            f"INSERT INTO chunks (document, {_CHUNK}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((cursor.lastrowid, *chunk) for chunk in chunks),
        )

    def retire(self, document: int) -> None:
        """Take a document out of the index; a document that no reader ever saw is deleted at once."""
        born = self._connection.execute("SELECT born FROM documents WHERE id = ?", (document,)).fetchone()[0]
        if born == self._generation:
            forget_chunks(self._connection, "document = ?", (document,))
            self._connection.execute("DELETE FROM documents WHERE id = ?", (document,))
        else:
            self._connection.execute("UPDATE documents SET died = ? WHERE id = ?", (self._generation, document))


def forget_chunks(connection: sqlite3.Connection, which: str, values: Sequence[Any] = ()) -> None:
    """Delete chunks, and remember their numbers until the vector store has deleted them too."""
    connection.execute(f"INSERT OR IGNORE INTO gone SELECT id FROM chunks WHERE {which}", values)
    connection.execute(f"DELETE FROM chunks WHERE {which}", values)


def layout_of(whole: WholeText) -> list[Any]:
    """The pages and headings of a document as plain data."""
    return [list(whole.page_starts), [[one.level, one.start, one.title] for one in whole.headings]]


def meta_of(written: str) -> dict[str, MetaValue]:
    """Read facts back from their written form."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(written).items()}


def line_starts(text: str) -> list[int]:
    """The places where each line of a text begins, in order."""
    starts, place = [0], text.find("\n")
    while place >= 0:
        starts.append(place + 1)
        place = text.find("\n", place + 1)
    return starts
