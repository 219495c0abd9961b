"""Growth of anonymous memory while an index is made and searched; a part of `retrieval_speed.py`.

Anonymous memory is what the system cannot drop and read again: pages of mapped files are not counted (`RssAnon` of
/proc/PID/status).  It is taken after a small index was made, so that libraries and weights are in it already (82 MB).
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import torch
from kept_vectors import kept_passages
from labelled_tasks import public_data
from real_texts import questions
from result import Result
from retrieval_queries import build, milliseconds

from lavra.rag.index.open import open_index
from lavra.rag.retrievers import build_retriever

BAR = 1.3  # times the vectors' bytes
ASKED = 200
FEW = 200  # passages of the index that loads the libraries
STATUS = Path("/proc/self/status")


class AnonymousGrowth:
    """The most by which anonymous memory grew within a block, in bytes, looked at fifty times a second."""

    def __init__(self) -> None:
        self.bytes = 0
        self._before = anonymous_bytes()
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
    """Of this process."""
    line = next(one for one in STATUS.read_text(encoding="utf-8").splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def measure_memory(count: int, scratch: Path, vectors: Path | None) -> Result:
    """Index, then search; the vectors are kept ones, so that the encoder's own matrices are not counted."""
    torch.set_num_threads(2)
    kept = kept_passages(count, vectors or scratch / "vectors")
    asked = questions(public_data())[:ASKED]
    kept.embedder.embed(asked)
    few = scratch / "few"
    few.mkdir()
    build(replace(kept, texts=kept.texts[:FEW]), few)
    with AnonymousGrowth() as indexing:
        folder = build(kept, scratch)
    with AnonymousGrowth() as searching, open_index(folder) as index:
        milliseconds(build_retriever(index.table, index.postings, index.store, kept.embedder), asked)
    most = max(indexing.bytes, searching.bytes)
    ratio = most / kept.vectors.nbytes
    return Result(
        claim=f"growth of anonymous memory while {count:,} passages are indexed and searched, to the vectors' bytes",
        ours=most,
        peers={"vectors": kept.vectors.nbytes},
        ratio=ratio,
        bar=BAR,
        holds=ratio <= BAR,
        better="lower",
        packages=("torch", "faiss-cpu"),
        details={
            "indexing_mb": round(indexing.bytes / 1e6, 1),
            "searching_mb": round(searching.bytes / 1e6, 1),
            "vectors_mb": round(kept.vectors.nbytes / 1e6, 1),
        },
    )
