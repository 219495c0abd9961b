"""A small index in memory: a naive store, an embedder of hashed words, documents of several groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lavra.base.predictions import Ranked
from lavra.base.retrieval import ACCESS, Chunk
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import write_postings
from lavra.rag.chunk_table import MemoryChunks, meets
from lavra.rag.words import Analyzer

WIDTH = 64


class HashEmbedder:
    """A text's vector is the sum of its words' vectors, drawn from their hashes."""

    def embed(self, texts):
        return np.array([self._vector(text) for text in texts], dtype=np.float32).reshape(len(texts), WIDTH)

    def _vector(self, text):
        total = np.full(WIDTH, 0.01)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])
            total += np.random.default_rng(seed).standard_normal(WIDTH)
        return total / np.linalg.norm(total)


class NaiveStore:
    """A `VectorStore` that compares with every vector."""

    def __init__(self) -> None:
        self.rows = {}

    def add(self, ids, vectors, metadata):
        self.rows |= {int(id): (vector, meta) for id, vector, meta in zip(ids, vectors, metadata, strict=True)}

    def delete(self, ids):
        for id in ids:
            self.rows.pop(int(id), None)

    def count(self, where=()):
        return sum(meets(meta, where) for _, meta in self.rows.values())

    def search(self, queries, k, where=()):
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        products = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for row, query in enumerate(queries):
            found = [(-float(vector @ query), id) for id, (vector, meta) in self.rows.items() if meets(meta, where)]
            for place, (product, id) in enumerate(sorted(found)[:k]):
                ids[row, place], products[row, place] = id, -product
        return ids, products


class Overlap:
    """A `Reranker` that counts shared words."""

    def rerank(self, query, texts):
        wanted = set(query.lower().split())
        scores = [len(wanted & set(text.lower().split())) / max(1, len(wanted)) for text in texts]
        return [
            Ranked(index=place, score=scores[place]) for place in sorted(range(len(texts)), key=lambda at: -scores[at])
        ]


class Parts:
    """The parts of an index over documents whose chunks are their lines.

    Args:
        folder: folder of the postings.
        documents: text by name.
        groups: groups that may read each document; everyone where it has no entry.
        meta: further facts of each document.
    """

    def __init__(
        self,
        folder: Path,
        documents: Mapping[str, str],
        groups: Mapping[str, Sequence[str]] | None = None,
        meta: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        chunks: list[Chunk] = []
        for name, text in documents.items():
            facts = {"document": name, **(meta or {}).get(name, {})}
            if name in (groups or {}):
                facts[ACCESS] = tuple(groups[name])
            chunks += lines(name, text, len(chunks) + 1, facts)
        self.table = MemoryChunks(chunks, documents)
        write_postings(folder, [chunk.id for chunk in chunks], [chunk.text for chunk in chunks], Analyzer(("en",)))
        self.postings = Postings.open(folder)
        self.embedder = HashEmbedder()
        self.store = NaiveStore()
        vectors = self.embedder.embed([chunk.text for chunk in chunks])
        self.store.add([chunk.id for chunk in chunks], vectors, [chunk.meta for chunk in chunks])


def lines(name, text, first, facts):
    """A chunk for each line; a line that begins with `#` is a heading, and no chunk."""
    found, start, headings = [], 0, ()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#"):
            headings = (line.strip("# "),)
        elif line.strip():
            found.append(
                Chunk(
                    id=first + len(found),
                    document=name,
                    text=line,
                    start=start,
                    end=start + len(line),
                    line=number,
                    headings=headings,
                    meta=facts,
                )
            )
        start += len(line) + 1
    return found
