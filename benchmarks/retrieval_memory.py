"""Growth of anonymous memory while an index is made and searched; a part of `retrieval_speed.py`.

Anonymous memory is what the system cannot drop and read again: pages of mapped files are not counted (`RssAnon` of
/proc/PID/status).  Growth counts from a process that has done everything once with a small index.  So it already holds
the data that a process loads once for any number of passages (torch, FAISS, PyArrow, trafilatura, the model of
languages of py3langid, the encoder's weights, tables of Unicode).  Freed memory is returned to the system before, so
that growth into it counts as well.  Growth of searching counts from before indexing, so it includes everything that
indexing leaves behind.

Vectors come from a folder, and passages that the chunker would cut are left out, so the encoder computes no vector.
Its matrices are as large for a thousand passages as for a million; the bar leaves them out, and `encoder_mb` measures
them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import torch
from kept_vectors import Kept, kept_passages, write_documents
from labelled_tasks import public_data
from real_texts import questions
from result import Result
from retrieval_queries import PASSAGES, index_passages, milliseconds

from lavra.base.memory import release_freed_memory
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.open import open_index
from lavra.rag.retrievers.build import build_retriever
from lavra.text.chunking.config import ChunkConfig

BAR = 1.3  # times the vectors' bytes
ASKED = 200
FEW = 200  # passages of the index that loads the libraries
BATCH = 512  # texts that indexing hands to an encoder at once
STATUS = Path("/proc/self/status")


class AnonymousGrowth:
    """The greatest growth of anonymous memory over a number of bytes within a block, sampled fifty times a second."""

    def __init__(self, before: int) -> None:
        self.bytes = 0
        self._before = before
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousGrowth:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            self.bytes = max(self.bytes, anonymous_bytes() - self._before)
            time.sleep(0.02)


def anonymous_bytes() -> int:
    """Bytes of anonymous memory that this process holds."""
    line = next(one for one in STATUS.read_text(encoding="utf-8").splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def settled_bytes() -> int:
    """Anonymous memory after freed memory is returned to the system."""
    release_freed_memory()
    return anonymous_bytes()


def measure_memory(count: int, scratch: Path, vectors: Path | None) -> Result:
    """Index, then search."""
    torch.set_num_threads(2)
    kept = _uncut(kept_passages(count, vectors or scratch / "vectors"))
    asked = questions(public_data())[:ASKED]
    few, many = scratch / "few", scratch / "many"
    for folder, texts in ((few, kept.texts[:FEW]), (many, kept.texts)):
        folder.mkdir()
        write_documents(texts, folder / PASSAGES)
    _search(index_passages(few, kept.embedder), kept.embedder, asked)
    before = settled_bytes()
    with AnonymousGrowth(before) as indexing:
        index = index_passages(many, kept.embedder)
    with AnonymousGrowth(before) as searching:
        _search(index, kept.embedder, asked)
    with AnonymousGrowth(settled_bytes()) as encoder:
        kept.encoder.embed(kept.texts[:BATCH])
    most = max(indexing.bytes, searching.bytes)
    size = kept.vectors.shape[1] * 4 * len(kept.texts)
    ratio = most / size
    return Result(
        claim=f"growth of anonymous memory while {len(kept.texts):,} passages are indexed and searched, to the bytes "
        "of their vectors",
        ours=most,
        peers={"vectors": size},
        ratio=ratio,
        bar=BAR,
        holds=ratio <= BAR,
        better="lower",
        packages=("torch", "faiss-cpu"),
        details={
            "passages": len(kept.texts),
            "vectors_mb": round(size / 1e6, 1),
            "indexing_mb": round(indexing.bytes / 1e6, 1),
            "searching_mb": round(searching.bytes / 1e6, 1),
            "encoder_mb": round(encoder.bytes / 1e6, 1),
        },
    )


def _uncut(kept: Kept) -> Kept:
    """Passages that are one chunk each."""
    tokens = kept.embedder.tokens
    if tokens is None:
        return kept
    most = ChunkConfig().size
    return replace(kept, texts=[text for text in kept.texts if len(tokens(text)) <= most])


def _search(folder: Path, embedder: NamedEmbedder, asked: list[str]) -> None:
    with open_index(folder) as index:
        milliseconds(build_retriever(index.table, index.postings, index.store, embedder), asked)
