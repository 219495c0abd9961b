"""Parts shared by tests of the index: an encoder of hashes, folders of documents, and an index as plain data."""

import hashlib
import os
import zlib

import numpy as np

from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import EncoderIdentity, NamedEmbedder
from lavra.rag.index.open import open_index
from lavra.rag.index.update import update_index
from lavra.text.chunking.config import ChunkConfig

DIMENSION = 12


class HashEmbedder:
    """A vector drawn from the hash of the text; it remembers its inputs."""

    def __init__(self, salt="", dimension=DIMENSION):
        self.salt, self.dimension, self.asked = salt, dimension, []

    def embed(self, texts):
        self.asked += texts
        return np.stack([self._one(text) for text in texts])

    def _one(self, text):
        seed = int.from_bytes(hashlib.sha256((self.salt + text).encode()).digest()[:8], "little")
        return np.random.default_rng(seed).normal(size=self.dimension).astype(np.float32)


def toy_encoder(salt="", dimension=DIMENSION):
    return NamedEmbedder(HashEmbedder(salt, dimension), EncoderIdentity(name=f"toy{salt}", hash=f"toy{salt}"))


def toy_config(encoder, size=16, **settings):
    chunking = ChunkConfig(size=size, overlap=0)
    return IndexConfig(encoder=None if encoder is None else encoder.identity, chunking=chunking, **settings)


def write(folder, texts):
    """Write a folder with exactly these files."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            stamp = 1_000_000_000 + zlib.crc32(text.encode())  # a fact of the document: the same for the same text
            os.utime(path, (stamp, stamp))
    return folder


def update(index, folder, encoder=None, **settings):
    return update_index(index, [folder], toy_config(encoder, **settings), encoder)


def content(index_folder, encoder, queries=("lagoon", "the red harbour")):
    """Everything that an index returns, without the numbers of its chunks."""
    with open_index(index_folder) as index:
        ids = index.table.ids()
        chunks = index.table.chunks(ids.tolist())
        places = {chunk.id: (chunk.document, chunk.start, chunk.end) for chunk in chunks}
        for chunk in chunks:
            assert index.table.document_text(chunk.document)[chunk.start : chunk.end] == chunk.text
        seen = {
            "documents": index.table.documents(),
            "chunks": sorted(
                (place, chunk.line, chunk.headings, tuple(sorted(chunk.meta.items())))
                for place, chunk in zip(places.values(), chunks, strict=True)
            ),
            "counts": index.report(),
        }
        for query in queries:
            found, scores = index.postings.search(query, max(len(ids), 1))
            seen[f"words {query}"] = sorted(
                zip(scores.round(9).tolist(), [places[id] for id in found.tolist()], strict=True)
            )
            if encoder is not None:
                near, products = index.store.search(encoder.embed([query]), len(ids) + 3)
                pairs = zip(near[0].tolist(), products[0].round(5).tolist(), strict=True)
                seen[f"vectors {query}"] = sorted((product, places[id]) for id, product in pairs if id >= 0)
        return seen
