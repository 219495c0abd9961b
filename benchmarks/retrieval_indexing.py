"""Chunks indexed a second, beside LangChain with sentence-transformers; a part of `retrieval_speed.py`."""

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
from real_texts import distinct_passages
from result import Result

from lavra.cli.retrieval import open_embedder
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import NamedEmbedder
from lavra.rag.index.update import update_index
from lavra.text.chunking.config import ChunkConfig

CHARACTERS = 480  # of a passage: some 110 tokens in English, 190 in Portuguese
TOKENS = 240
BAR, COSINE = 1.2, 0.999
TURNS = 3
BATCH_SIZES = (8, 16, 32, 64, 128)
TRIED = 200  # passages on which batch sizes are tried


def measure_indexing(count: int, scratch: Path, vectors: Path | None) -> Result:
    """Both sides take turns over the same file."""
    torch.set_num_threads(2)
    if find_spec("langchain_community") is None:
        raise AbsentDataError("langchain-community is not installed; benchmarks/requirements.txt has the peers")
    embedder = open_embedder(str(encoder_folder()))
    assert embedder.tokens is not None
    drawn = distinct_passages(public_data(), CHARACTERS, count + count // 4)
    texts = [text for text in drawn if len(embedder.tokens(text)) <= TOKENS][:count]
    path = write_documents(texts, scratch / "passages.jsonl")
    peer = _Peer(texts[: min(TRIED, count // 4)])
    ours_seconds, peer_seconds = [], []
    for turn in range(TURNS):
        ours_seconds.append(_seconds(lambda turn=turn: _index(path, scratch / f"index{turn}", embedder, len(texts))))  # type: ignore[misc]
        peer_seconds.append(_seconds(lambda: peer.index(path)))
        print(f"turn {turn}: lavra {ours_seconds[-1]:.1f} s, peer {peer_seconds[-1]:.1f} s", flush=True)
    ratios = [theirs / own for own, theirs in zip(ours_seconds, peer_seconds, strict=True)]
    cosine = float((embedder.embed(texts[:TRIED]) * peer.embed(texts[:TRIED])).sum(axis=1).min())
    ours, theirs = (len(texts) / statistics.median(seconds) for seconds in (ours_seconds, peer_seconds))
    ratio = statistics.median(ratios)
    return Result(
        claim=f"distinct chunks indexed a second, cosine of the vectors at least {COSINE}, on 2 threads",
        ours=ours,
        peers={"LangChain + sentence-transformers + FAISS": theirs},
        ratio=ratio,
        bar=BAR,
        holds=ratio >= BAR and cosine >= COSINE,
        packages=("torch", "sentence-transformers", "langchain-community", "faiss-cpu"),
        details={"chunks": len(texts), "ratios": ratios, "least_cosine": cosine, "peer_batch_size": peer.batch_size},
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
    """LangChain's way, with the batch size that suits it best."""

    def __init__(self, sample: Sequence[str]) -> None:
        from langchain_community.embeddings import HuggingFaceEmbeddings  # noqa: PLC0415 - a peer, slow to import

        def made(batch_size: int) -> Any:
            return HuggingFaceEmbeddings(
                model_name=str(encoder_folder()),
                model_kwargs={"device": "cpu"},
                encode_kwargs={"batch_size": batch_size, "normalize_embeddings": True},
            )

        made(32).embed_documents(list(sample[:32]))
        # A batch cannot be larger than the sample: of the sizes over it, the first is all of them.
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
