"""Passages whose vectors are kept in a folder, and an encoder that reads the vectors from there.

A folder has `texts.jsonl` (a passage in each line, under `text`) and `vectors.npy` (a row for each, float32, unit
length).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from labelled_tasks import encoder_folder, public_data
from real_texts import distinct_passages

from lavra.rag.index.encoder import NamedEmbedder
from lavra.verbs.retrieval import open_embedder

CHARACTERS = 240  # of a passage: some 60 tokens
BATCH = 2000


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Passages and their vectors.

    Attributes:
        texts: N passages, distinct.
        vectors: (N, D) float32, memory-mapped.
        embedder: returns the kept vectors of these passages, and computes those of other texts.
        encoder: computes all vectors.
    """

    texts: list[str]
    vectors: npt.NDArray[np.float32]
    embedder: NamedEmbedder
    encoder: NamedEmbedder


def kept_passages(count: int, folder: Path) -> Kept:
    """Passages and vectors of a folder; computed and kept there where they are absent."""
    real = open_embedder(str(encoder_folder()))
    if not (folder / "vectors.npy").exists():
        _compute(real, distinct_passages(public_data(), CHARACTERS, count, overlapping=count > 40_000), folder)
    lines = (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:count]]
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    rows = {hash(text): row for row, text in enumerate(texts)}
    embedder = NamedEmbedder(
        _FromFolder(rows, vectors, real), real.identity, tokens=real.tokens, max_tokens=real.max_tokens
    )
    return Kept(texts=texts, vectors=vectors[:count], embedder=embedder, encoder=real)


def write_documents(texts: Sequence[str], path: Path) -> Path:
    """Write a file in which each passage is a document."""
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    path.write_text(lines, encoding="utf-8")
    return path


def _compute(real: NamedEmbedder, texts: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_documents(texts, folder / "texts.jsonl")
    parts = []
    for first in range(0, len(texts), BATCH):
        parts.append(real.embed(texts[first : first + BATCH]))
        print(f"embedded {first + len(parts[-1]):,} of {len(texts):,}", flush=True)
    np.save(folder / "vectors.npy", np.concatenate(parts))


class _FromFolder:
    """An `Embedder` that returns kept vectors."""

    def __init__(self, rows: dict[int, int], vectors: npt.NDArray[np.float32], real: NamedEmbedder) -> None:
        self._rows, self._vectors, self._real = rows, vectors, real

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        places = [self._rows.get(hash(text), -1) for text in texts]
        found = np.asarray(self._vectors[places])
        others = [number for number, row in enumerate(places) if row < 0]
        if others:  # questions, and pieces of passages that are too long for the encoder
            found[others] = self._real.embed([texts[number] for number in others])
        return found
