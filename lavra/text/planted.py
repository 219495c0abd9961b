"""Measure the recall of near-duplicate detection on planted copies.

Documents of the corpus are copied with random edits.  Copies whose true similarity (the exact Jaccard index of their
sets of shingles) reaches the threshold go with their originals into a small index of their own, made by the same code
as the corpus's.  Copies that end in their original's cluster are counted.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lavra.base.types import Document
from lavra.text.dedup import DedupConfig, DuplicateIndex
from lavra.text.shingles import Shingler

MAX_CHARS = 65_536  # characters of a sampled document, so that the sample takes little memory
MIN_WORDS = 60  # shorter texts cannot be edited and stay similar
EDIT_RATES = (0.005, 0.01, 0.02, 0.03)  # 2 % of words edited leaves 5-grams of prose about 0.82 similar
_SPACES = re.compile(r"(\s+)")


@dataclass(frozen=True, kw_only=True)
class PlantedRecall:
    """The counts of planted copies and of those found.

    Attributes:
        num_planted: edited copies whose true similarity to the original reaches the threshold.
        num_found: of these copies, those in their original's cluster.
        num_hard: of the planted copies, those within 0.1 of the threshold, which detection can miss.
        num_hard_found: of the hard copies, those found.
        num_too_far: edited copies below the threshold, which were not planted.
    """

    num_planted: int
    num_found: int
    num_hard: int
    num_hard_found: int
    num_too_far: int


class PlantedSample:
    """The documents with the smallest ids: a random sample that does not depend on the order of arrival."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, str]] = []

    def watch(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The same documents; keeps those that belong to the sample."""
        for document in documents:
            self._offer(document)
            yield document

    def texts(self) -> list[str]:
        """The sampled texts, in order of id."""
        return [text for _, text in sorted(self._heap, reverse=True)]

    def _offer(self, document: Document) -> None:
        if not self._size or len(document.text) > MAX_CHARS or len(document.text) < 2 * MIN_WORDS:
            return
        rank = -int.from_bytes(hashlib.sha256(document.id.encode()).digest()[:8], "big")
        if len(self._heap) == self._size and rank <= self._heap[0][0]:
            return
        if len(document.text.split()) < MIN_WORDS:
            return
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (rank, document.text))
        else:
            heapq.heapreplace(self._heap, (rank, document.text))


def measure_recall(texts: list[str], folder: Path, config: DedupConfig, seed: int = 0) -> PlantedRecall:
    """Plant edited copies of the texts and count the copies that are found."""
    chooser = random.Random(seed)
    shingler = Shingler(config.shingle_words)
    index = DuplicateIndex(folder, config)
    planted: list[float] = []
    for number, text in enumerate(texts):
        copy = edited(text, EDIT_RATES[number % len(EDIT_RATES)], chooser)
        similarity = true_jaccard(text, copy, shingler)
        if similarity >= config.threshold:
            index.add(text)
            index.add(copy)
            planted.append(similarity)
    first = index.clusters().first
    found = first[0::2] == first[1::2]  # originals have even numbers, their copies the odd ones after them
    hard = np.array(planted) < config.threshold + 0.1
    return PlantedRecall(
        num_planted=len(planted),
        num_found=int(found.sum()),
        num_hard=int(hard.sum()),
        num_hard_found=int((found & hard).sum()),
        num_too_far=len(texts) - len(planted),
    )


def edited(text: str, rate: float, chooser: random.Random) -> str:
    """A copy in which this share of the words, and at least one, is replaced, dropped or doubled."""
    parts = _SPACES.split(text)  # words at even places, the spaces between them at odd ones
    num_words = (len(parts) + 1) // 2
    for _ in range(max(1, round(rate * num_words))):
        place, other = 2 * chooser.randrange(num_words), parts[2 * chooser.randrange(num_words)]
        parts[place] = chooser.choice((other, "", f"{parts[place]} {other}"))
    return "".join(parts)


def true_jaccard(a: str, b: str, shingler: Shingler) -> float:
    """The exact Jaccard index of two texts' sets of shingles."""
    shingles, offsets = shingler([a.encode(), b.encode()])
    left, right = np.unique(shingles[: offsets[1]]), np.unique(shingles[offsets[1] :])
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)
