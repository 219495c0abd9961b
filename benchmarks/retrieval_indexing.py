"""Chunks indexed a second, beside LangChain with sentence-transformers; a part of `retrieval_speed.py`.

lavra indexes with the encoder in float32, as the peer does, and in INT8.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept_vectors import write_documents
from labelled_tasks import AbsentDataError, encoder_folder, public_data
from packed_model import int8_encoder
from real_texts import distinct_passages
from result import Result

from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.update import update_index
from lavra.text.chunking.config import ChunkConfig
from lavra.verbs.retrieval import open_embedder

CHARACTERS = 480  # of a passage: some 110 tokens in English, 190 in Portuguese
TOKENS = 240
BAR, COSINE = 2.0, 0.999
TURNS = 3
BATCH_SIZES = (8, 16, 32, 64, 128)
TRIED = 200  # passages on which batch sizes are tried


def measure_indexing(count: int, scratch: Path, vectors: Path | None) -> Result:
    """Chunks a second; all sides take turns over the same file."""
    torch.set_num_threads(2)
    if find_spec("langchain_community") is None:
        raise AbsentDataError("langchain-community is not installed; benchmarks/requirements.txt has the peers")
    folders = {"float32": encoder_folder(), "INT8": int8_encoder(scratch / "encoder")}
    ours = {name: open_embedder(str(folder)) for name, folder in folders.items()}
    tokens = ours["float32"].tokens
    assert tokens is not None
    drawn = distinct_passages(public_data(), CHARACTERS, count + count // 4)
    texts = [text for text in drawn if len(tokens(text)) <= TOKENS][:count]
    path = write_documents(texts, scratch / "passages.jsonl")
    peer = _Peer(texts[: min(TRIED, count // 4)])
    seconds: dict[str, list[float]] = {name: [] for name in ours}
    peer_seconds: list[float] = []
    for turn in range(min(TURNS, 1 + count // 500)):  # a small run has one turn
        for name, embedder in ours.items():
            index = scratch / f"index-{name}-{turn}"
            seconds[name].append(_seconds(lambda index=index, own=embedder: _index(path, index, own, len(texts))))  # type: ignore[misc]
        peer_seconds.append(_seconds(lambda: peer.index(path)))
        shown = ", ".join(f"lavra {name} {taken[-1]:.1f} s" for name, taken in seconds.items())
        print(f"turn {turn}: {shown}, peer {peer_seconds[-1]:.1f} s", flush=True)
    ratios = {
        name: statistics.median(theirs / own for own, theirs in zip(taken, peer_seconds, strict=True))
        for name, taken in seconds.items()
    }
    theirs = peer.embed(texts[:TRIED])
    cosines = {name: float((own.embed(texts[:TRIED]) * theirs).sum(axis=1).min()) for name, own in ours.items()}
    best = max((name for name in ours if cosines[name] >= COSINE), key=lambda name: ratios[name])
    speeds = {name: len(texts) / statistics.median(taken) for name, taken in seconds.items()}
    return Result(
        claim=f"distinct chunks indexed a second, cosine of the vectors at least {COSINE}, on 2 threads",
        ours=speeds[best],
        peers={"LangChain + sentence-transformers + FAISS": len(texts) / statistics.median(peer_seconds)},
        ratio=ratios[best],
        bar=BAR,
        holds=ratios[best] >= BAR,
        packages=("torch", "sentence-transformers", "langchain-community", "faiss-cpu"),
        details={
            "chunks": len(texts),
            "best": best,
            "speeds": speeds,
            "ratios": ratios,
            "least_cosines": cosines,
            "peer_batch_size": peer.batch_size,
        },
    )


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _index(path: Path, folder: Path, embedder: NamedEmbedder, count: int) -> None:
    config = IndexConfig(encoder=embedder.identity, chunking=ChunkConfig(size=TOKENS, overlap=0))
    report = update_index(folder, [path], config, embedder)
    assert report.embedded == count, f"{report.embedded} chunks were embedded, not {count}"


class _Peer:
    """LangChain's pipeline with its fastest batch size."""

    def __init__(self, sample: Sequence[str]) -> None:
        from langchain_community.embeddings import HuggingFaceEmbeddings  # noqa: PLC0415 - a peer, slow to import

        def made(batch_size: int) -> Any:
            return HuggingFaceEmbeddings(
                model_name=str(encoder_folder()),
                model_kwargs={"device": "cpu"},
                encode_kwargs={"batch_size": batch_size, "normalize_embeddings": True},
            )

        made(32).embed_documents(list(sample[:32]))
        # A batch cannot be larger than the sample: of the sizes above it, the first gives one batch of all passages.
        sizes = [size for before, size in zip((0, *BATCH_SIZES), BATCH_SIZES, strict=False) if before < len(sample)]
        seconds = {size: _seconds(lambda size=size: made(size).embed_documents(list(sample))) for size in sizes}  # type: ignore[misc]
        self.batch_size = min(seconds, key=lambda size: seconds[size])
        self._embeddings = made(self.batch_size)

    def embed(self, texts: Sequence[str]) -> Any:
        """Vectors of texts."""
        return np.array(self._embeddings.embed_documents(list(texts)), dtype=np.float32)

    def index(self, path: Path) -> Any:
        """Read, split, embed and store."""
        from langchain_community.vectorstores import FAISS  # noqa: PLC0415
        from langchain_text_splitters import RecursiveCharacterTextSplitter  # noqa: PLC0415

        texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
        splitter = RecursiveCharacterTextSplitter(chunk_size=2 * CHARACTERS, chunk_overlap=0)
        return FAISS.from_documents(splitter.create_documents(texts), self._embeddings)
