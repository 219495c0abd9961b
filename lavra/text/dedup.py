"""Find duplicates among documents: equal (sha256) or nearly equal (MinHash LSH), as clusters.

Signatures and band keys go to files as documents arrive; afterwards one band at a time is sorted in memory, documents
with equal keys become candidates, and candidates whose signatures agree enough are similar.  Memory is some 100 bytes a
document, for documents of any length.

A cluster is a representative and the later documents that are similar to *it*: a chain of small edits, whose ends have
nothing in common, is several clusters.  Near-duplicates that are kept must still be on one side of the split;
`Clusters.linked` follows the chains to their ends for that.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from lavra.base.errors import ConfigError
from lavra.text.minhash import MinHash, band_keys, choose_bands, estimate_jaccard
from lavra.text.shingles import I64, U32, U64, Shingler

BATCH_BYTES = 1 << 20
VERIFY_PAIRS = 8192
_MOST_PASSES = 12  # passes over all bands; two are usual, and one more finds nothing new


class Remove(Enum):
    """The duplicates that are left out."""

    ALL = "all"  # equal and nearly equal documents
    EXACT = "exact"  # equal documents only
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class DedupConfig:
    """Settings of deduplication: which documents count as duplicates, and which of them are removed.

    Attributes:
        remove: which duplicates to leave out, keeping the first of each cluster.  Near-duplicates are found even when
            they are kept, because they must lie on the same side of the split.
        threshold: Jaccard similarity of the sets of word n-grams from which two documents are near-duplicates.
        shingle_words: words in an n-gram.
        num_permutations: length of the signatures.
        num_planted: near-duplicates planted in a small index of their own to measure recall; 0 measures nothing.
    """

    remove: Remove = Remove.ALL
    threshold: float = 0.8
    shingle_words: int = 5
    num_permutations: int = 128
    num_planted: int = 200

    def __post_init__(self) -> None:
        if not 0.3 <= self.threshold <= 1:
            raise ConfigError(f"threshold is {self.threshold}; it must be between 0.3 and 1")
        if not 1 <= self.shingle_words <= 32:
            raise ConfigError(f"shingle_words is {self.shingle_words}; it must be between 1 and 32")
        if not 16 <= self.num_permutations <= 1024:
            raise ConfigError(f"num_permutations is {self.num_permutations}; it must be between 16 and 1,024")
        if self.num_planted < 0:
            raise ConfigError(f"num_planted is {self.num_planted}; it must be 0 or more")

    @property
    def accepted(self) -> float:
        """The least estimate of a pair that is joined: one standard deviation under the threshold.

        Half of the pairs that are exactly at the threshold are estimated below it; with this bound 84 % of them count.
        """
        return self.threshold - math.sqrt(self.threshold * (1 - self.threshold) / self.num_permutations)


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """The duplicates among N documents, by their numbers in order of arrival.

    Attributes:
        first: (N,) the representative of each document's cluster, its first document; the document itself when no
            earlier representative is similar enough.
        first_equal: (N,) the first document with exactly the same text.
        linked: (N,) the first document of each chain of similar pairs.
        key: (N,) 64 bits of the hash of each document's text; the key does not depend on the document's source.
        num_candidates: number of pairs compared.
        num_joined: number of pairs similar enough.
    """

    first: I64
    first_equal: I64
    linked: I64
    key: U64
    num_candidates: int
    num_joined: int

    def __len__(self) -> int:
        return len(self.first)

    @property
    def is_exact(self) -> npt.NDArray[np.bool_]:
        """(N,) whether an earlier document has the same text."""
        return np.asarray(self.first_equal != np.arange(len(self)))

    @property
    def is_near(self) -> npt.NDArray[np.bool_]:
        """(N,) whether an earlier representative is nearly the same, and no earlier document is equal."""
        return np.asarray((self.first != np.arange(len(self))) & ~self.is_exact)

    @property
    def num_clusters(self) -> int:
        """Number of clusters of two documents or more."""
        return int((np.bincount(self.first, minlength=1) > 1).sum())


class DuplicateIndex:
    """An index that takes texts one by one, keeps their signatures on disk, and gives their clusters at the end."""

    def __init__(self, folder: Path, config: DedupConfig) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._config = config
        self._bands = choose_bands(config.num_permutations, config.threshold)
        self._shingler = Shingler(config.shingle_words)
        self._minhash = MinHash(config.num_permutations)
        self._exact_path = folder / "sha256.u64"
        self._signature_path = folder / "signatures.u32"
        self._band_paths = [folder / f"band-{band:03d}.u64" for band in range(self._bands.num_bands)]
        self._files: list[BinaryIO] = [
            path.open("wb") for path in (self._exact_path, self._signature_path, *self._band_paths)
        ]
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._num_documents = 0

    def add(self, text: str) -> int:
        """Add the next document's text; returns its bytes."""
        encoded = text.encode()
        self._batch.append(encoded)
        self._batch_bytes += len(encoded)
        if self._batch_bytes >= BATCH_BYTES:
            self._flush()
        return len(encoded)

    def clusters(self) -> Clusters:
        """Find the duplicates; no text can be added after this."""
        self._flush()
        for file in self._files:
            file.close()
        digests = np.fromfile(self._exact_path, dtype=np.uint64).reshape(-1, 2)  # (N, 2)
        first_equal = _first_equal(digests)
        finder = _Finder(self._signature_path, self._config, first_equal)
        finder.run(self._band_paths)
        return Clusters(
            first=finder.first,
            first_equal=first_equal,
            linked=finder.linked,
            key=digests[:, 0].copy(),
            num_candidates=finder.num_candidates,
            num_joined=finder.num_joined,
        )

    def similarity(self, a: I64, b: I64) -> npt.NDArray[np.float64]:
        """The estimated similarity of pairs of documents by number, (M,) and (M,) to (M,); call it after `clusters`."""
        return _similarity(self._signature_path, self._config.num_permutations, a, b)

    def _flush(self) -> None:
        if not self._batch:
            return
        shingles, offsets = self._shingler(self._batch)
        signatures = self._minhash.signatures(shingles, offsets)
        digests = b"".join(hashlib.sha256(text).digest()[:16] for text in self._batch)
        for file, data in zip(
            self._files, (digests, signatures.tobytes(), *map(bytes, band_keys(signatures, self._bands))), strict=True
        ):
            file.write(data)
        self._num_documents += len(self._batch)
        self._batch.clear()
        self._batch_bytes = 0


class _Finder:
    """A search for each document's representative, one band at a time.

    Representatives are found greedily, in order of arrival: a document is a representative unless an earlier
    representative is similar enough.  A pass compares the representatives so far.  The next pass checks its decisions
    once more, since a document that is out of the way lets other documents of its band meet.
    """

    def __init__(self, signatures: Path, config: DedupConfig, first_equal: I64) -> None:
        self.first, self.linked = first_equal.copy(), first_equal.copy()
        self.num_candidates = 0
        self.num_joined = 0
        self._first_equal = first_equal
        self._signatures = signatures
        self._config = config

    def run(self, bands: Sequence[Path]) -> None:
        """Compare documents whose keys in a band are equal, until a pass finds no two similar representatives."""
        distinct = np.flatnonzero(self._first_equal == np.arange(len(self.first)))
        for _ in range(_MOST_PASSES):
            active = distinct[self.first[distinct] == distinct]
            nearest = np.arange(len(self.first))
            for path in bands:
                self._look(np.fromfile(path, dtype=np.uint64)[active], active, nearest)
            followers = np.flatnonzero(nearest != np.arange(len(nearest)))
            if not len(followers):
                break
            self._follow(followers, nearest)
        self.first = self.first[self._first_equal]
        self.linked = self.linked[self._first_equal]

    def _look(self, keys: U64, numbers: I64, nearest: I64) -> None:
        """Lower each document's `nearest` to an earlier document that shares a key with it and is similar."""
        a, b = _equal_pairs(keys, numbers)
        wanted = (nearest[b] > a) | (self.linked[a] != self.linked[b])
        a, b = a[wanted], b[wanted]
        similar = self._are_similar(a, b)
        self.num_candidates += len(a)
        self.num_joined += int(similar.sum())
        np.minimum.at(nearest, b[similar], a[similar])
        join(self.linked, a[similar], b[similar])

    def _follow(self, followers: I64, nearest: I64) -> None:
        """Give followers their representatives; a follower not similar to its new representative is free again."""
        is_follower = np.zeros(len(nearest), dtype=bool)
        for number in followers.tolist():  # ascending, so that the earlier document is decided already
            is_follower[number] = not is_follower[nearest[number]]
        chosen = np.flatnonzero(is_follower)
        self.first[chosen] = nearest[chosen]
        lost = np.flatnonzero(self.first[self.first] != self.first)
        lost = lost[self._first_equal[lost] == lost]
        heir = self.first[self.first[lost]]
        self.first[lost] = np.where(self._are_similar(lost, heir), heir, lost)

    def _are_similar(self, a: I64, b: I64) -> npt.NDArray[np.bool_]:
        found = _similarity(self._signatures, self._config.num_permutations, a, b) >= self._config.accepted
        return np.asarray(found)


def join(root: I64, a: I64, b: I64) -> None:
    """Union-find over all pairs at once: hook the larger root under the smaller, flatten, repeat until nothing changes.

    `root` (N,) is changed in place; before and after the call it holds the smallest number of each document's cluster.
    """
    while len(a):
        low, high = np.minimum(root[a], root[b]), np.maximum(root[a], root[b])
        apart = low != high
        if not apart.any():
            return
        np.minimum.at(root, high[apart], low[apart])
        while True:
            flatter = root[root]
            if np.array_equal(flatter, root):
                break
            root[:] = flatter


def _first_equal(digests: U64) -> I64:
    """For each row the number of the first equal row, (N, 2) to (N,)."""
    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(is_new) - 1
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[is_new][group] if len(order) else order
    return first


def _equal_pairs(keys: U64, numbers: I64) -> tuple[I64, I64]:
    """Pairs of documents with equal keys: each with the document before it, and with the first of its group."""
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]]) + 1  # positions equal to the position before
    if not len(same):
        return numbers[:0], numbers[:0]
    begins = np.ones(len(same), dtype=bool)  # where a new group begins among `same`
    begins[1:] = np.diff(same) > 1
    first = (same - 1)[begins][np.cumsum(begins) - 1]
    sorted_numbers = numbers[order]
    a = np.concatenate([sorted_numbers[first], sorted_numbers[same - 1][~begins]])
    b = np.concatenate([sorted_numbers[same], sorted_numbers[same][~begins]])
    return a, b


def _similarity(path: Path, num_permutations: int, a: I64, b: I64) -> npt.NDArray[np.float64]:
    """Estimated similarity of pairs.  The file is mapped anew for each batch, so that its pages leave memory again."""
    out = np.zeros(len(a))
    for start in range(0, len(a), VERIFY_PAIRS):
        part = slice(start, start + VERIFY_PAIRS)
        signatures: U32 = np.memmap(path, dtype=np.uint32, mode="r").reshape(-1, num_permutations)
        out[part] = estimate_jaccard(signatures[a[part]], signatures[b[part]])
        del signatures
    return out
