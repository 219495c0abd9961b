"""Keep vectors on disk by the hash of their texts, so that no text is embedded twice, whatever the way of cutting.

Each block of vectors is a file that appears whole or not at all, so that a killed run goes on behind the last
block.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.files import hash_text
from lavra.base.ports import Embedder

_BLOCK: Final = 64  # texts in a block


class OutOfTimeError(Exception):
    """The time of a run is over; finished work is kept."""


class Deadline:
    """The time at which a run must end.

    Args:
        seconds: time from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds left; below 0 when the time is over."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Stop the run if its time is over.

        Raises:
            OutOfTimeError: the time is over.
        """
        if self.left() <= 0:
            raise OutOfTimeError


class VectorShelf:
    """An `Embedder` that remembers its vectors.

    Args:
        folder: path of the kept vectors.
        embedder: computes the missing vectors.
        deadline: end of the run; it is checked before each block.
    """

    def __init__(self, folder: Path, embedder: Embedder, deadline: Deadline) -> None:
        self._folder, self._embedder, self._deadline = folder, embedder, deadline
        folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, Float32s] = {}
        self._blocks = sorted(folder.glob("*.npz"))
        for path in self._blocks:
            with np.load(path, allow_pickle=False) as block:
                self._known.update(zip(block["hashes"].tolist(), block["vectors"], strict=True))

    def embed(self, texts: Sequence[str]) -> Float32s:
        """Embed texts: (N, D) vectors of unit length.

        Raises:
            OutOfTimeError: the time is over before all are computed.
        """
        hashes = [hash_text(text) for text in texts]
        missing = {name: text for name, text in zip(hashes, texts, strict=True) if name not in self._known}
        order = sorted(missing, key=lambda name: len(missing[name]))  # similar lengths together: less padding
        for start in range(0, len(order), _BLOCK):
            self._deadline.check()
            self._add(order[start : start + _BLOCK], missing)
        if not texts:
            return self._embedder.embed([])
        return np.stack([self._known[name] for name in hashes])

    def _add(self, names: list[str], texts: dict[str, str]) -> None:
        vectors = np.asarray(self._embedder.embed([texts[name] for name in names]), dtype=np.float32)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        if len(names) > 1:  # embedding a single question again is as quick as keeping it
            self._keep(names, vectors)
        self._known.update(zip(names, vectors, strict=True))

    def _keep(self, names: list[str], vectors: Float32s) -> None:
        path = self._folder / f"{len(self._blocks):06d}.npz"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, hashes=np.array(names), vectors=vectors)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        self._blocks.append(path)
