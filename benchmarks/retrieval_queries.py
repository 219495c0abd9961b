"""Time of a question over an index: embedding, both arms, fusion; a part of `retrieval_speed.py`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from kept_vectors import kept_passages, write_documents
from labelled_tasks import public_data
from real_texts import questions
from result import Result

from lavra.base.ports import Retriever
from lavra.base.retrieval import SearchRequest
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.open import open_index
from lavra.rag.index.update import update_index
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Arms, RetrievalConfig

BAR = 30.0  # milliseconds
ASKED, WARM = 300, 20
K = 10
PASSAGES = "passages.jsonl"


def index_passages(scratch: Path, embedder: NamedEmbedder) -> Path:
    """An index of the passages in a folder's file."""
    config = IndexConfig(encoder=embedder.identity)
    update_index(scratch / "index", [scratch / PASSAGES], config, embedder)
    return scratch / "index"


def milliseconds(retriever: Retriever, asked: list[str]) -> list[float]:
    """Milliseconds of each search, one after another."""
    for question in asked[:WARM]:
        retriever.search(SearchRequest(query=question, k=K))
    found = []
    for question in asked:
        start = time.perf_counter()
        retriever.search(SearchRequest(query=question, k=K))
        found.append((time.perf_counter() - start) * 1e3)
    return found


def measure_queries(count: int, scratch: Path, vectors: Path | None) -> Result:
    """Build an index of kept vectors, and search it with real questions."""
    torch.set_num_threads(2)
    kept = kept_passages(count, vectors or scratch / "vectors")
    write_documents(kept.texts, scratch / PASSAGES)
    start = time.perf_counter()
    folder = index_passages(scratch, kept.embedder)
    built = time.perf_counter() - start
    asked = questions(public_data())[:ASKED]
    with open_index(folder) as index:
        parts = index.table, index.postings, index.store, kept.embedder
        times = {
            arms.value: milliseconds(build_retriever(*parts, RetrievalConfig(arms=arms)), asked)
            for arms in (Arms.WORDS, Arms.DENSE, Arms.HYBRID)
        }
    p95 = {arms: float(np.percentile(found, 95)) for arms, found in times.items()}
    details = {
        f"{arms}_p{level}_ms": round(float(np.percentile(found, level)), 2)
        for arms, found in times.items()
        for level in (50, 95, 99)
    }
    return Result(
        claim=f"p95 of a question over {count:,} distinct passages, milliseconds: embedding, words, vectors, fusion",
        ours=p95[Arms.HYBRID.value],
        peers={},
        ratio=p95[Arms.HYBRID.value],
        bar=BAR,
        holds=p95[Arms.HYBRID.value] <= BAR,
        better="lower",
        packages=("torch", "faiss-cpu"),
        details={**details, "passages": count, "questions": len(asked), "built_without_embedding_s": round(built, 1)},
    )
