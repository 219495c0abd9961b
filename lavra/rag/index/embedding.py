"""Embed the chunks that have no vectors yet: the second part of an update.

Each distinct text is embedded once, in batches that are committed one by one: the vectors of a killed update are
kept.  A new encoder's vectors stand in a file of their own, and the old vectors stay in use until all new ones are
there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.ports import Progress
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.texts import read_text
from lavra.rag.index.vectors import Space, VectorWriter, find_space, make_space

_BATCH: Final = 512  # texts: seconds of work on a CPU, and enough that texts of like length meet in one matrix
_MISSING: Final = """
SELECT DISTINCT content FROM chunks JOIN documents ON documents.id = document
WHERE died IS NULL AND NOT EXISTS (SELECT 1 FROM vectors WHERE space = ? AND vectors.content = chunks.content)
ORDER BY content
"""
_TEXT: Final = """
SELECT text, start, stop FROM chunks JOIN documents ON documents.id = document
WHERE content = ? AND died IS NULL LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The result of embedding.

    Attributes:
        space: number of the encoder's vectors; `None` where there is nothing to embed.
        count: number of texts that the encoder read.
    """

    space: Space | None
    count: int


def embed_missing(
    connection: sqlite3.Connection, folder: Path, embedder: NamedEmbedder, progress: Progress
) -> Embedded:
    """Give every chunk of a living document a vector.

    Raises:
        InputError: the encoder gave vectors of another width than before, or unusable vectors.
    """
    space = find_space(connection, folder, embedder.identity.hash)
    missing = [content for (content,) in connection.execute(_MISSING, (-1 if space is None else space.id,))]
    writer = None if space is None else VectorWriter(connection, space)
    for first in range(0, len(missing), _BATCH):
        progress("embed", first, len(missing))
        contents = missing[first : first + _BATCH]
        rows = embedder.embed(_texts(connection, contents))
        if space is None or writer is None:
            space = make_space(connection, folder, embedder.identity, rows.shape[1])
            writer = VectorWriter(connection, space)
        writer.append(contents, rows)
    return Embedded(space=space, count=len(missing))


def _texts(connection: sqlite3.Connection, contents: Sequence[int]) -> list[str]:
    places = [connection.execute(_TEXT, (content,)).fetchone() for content in contents]
    return [read_text(connection, text, start, stop) for text, start, stop in places]
