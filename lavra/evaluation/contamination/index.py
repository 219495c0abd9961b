"""An index on disk of the word n-grams of a training corpus: built once, in bounded memory, and read through mmap.

Hashes of n-grams are cut to 48 bits.  The first 16 bits choose a bucket; the other 32 stand in one sorted file, bucket
after bucket, beside a table with the beginning of each bucket.  So the index has at most 4 bytes for each word of text
(less where text repeats), plus half a megabyte.  With a corpus of a hundred million n-grams, one foreign n-gram in
three million is wrongly found.

The index is built by an external sort: hashes are spread over 256 files by their first byte, and each file is sorted by
itself.  The sort needs memory for one such file (a 256th of the n-grams, 8 bytes each) and for a buffer.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int64s
from lavra.base.card import CARD_FILE, read_card, write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.base.ports import Progress, silent
from lavra.evaluation.contamination.ngrams import Hashes, WordHasher, ngram_hashes
from lavra.metrics.intervals import Bools
from lavra.text.corpus import Corpus

ORDER = 8
"""Words of an n-gram.  13, as in GPT-3 (Brown et al. 2020), finds fewer edited and no short items
(docs/contamination.md).
"""
NGRAMS_FILE, STARTS_FILE = "ngrams.u32", "starts.npy"
KIND = "ngram-index"
VERSION = 1  # version of hashes and files; raised by hand
_BUCKETS = 1 << 16
_PARTS = 256
_BUFFERED, _BUFFERED_TEXTS = 4 << 20, 1 << 12  # most hashes and texts in memory before they are spread over the files
_CUT, _TO_LOW, _TO_BUCKET, _TO_PART = np.uint64(16), np.uint64(32), np.uint64(48), np.uint64(56)
_LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, kw_only=True)
class NgramIndex:
    """The n-grams of a corpus.

    Attributes:
        path: folder of the index.
        corpus_id: id of the corpus that it was built from.
        num_words: number of words of the corpus.
        order: number of words of an n-gram.
        low_bits: (N,) 32 bits of each n-gram, sorted within its bucket; memory-mapped.
        starts: (65537,) beginning of each bucket.
    """

    path: Path
    corpus_id: str
    num_words: int
    order: int
    low_bits: npt.NDArray[np.uint32]
    starts: Int64s

    @classmethod
    def open(cls, path: Path) -> NgramIndex:
        """Open an index that `build_index` wrote.

        Raises:
            InputError: the folder is not an index, or was written by another version.
        """
        card = read_card(path)
        if card.kind != KIND or card.config.get("version") != VERSION:
            raise InputError(f"{path} is not a {KIND} of version {VERSION}; remove it, and it is built again")
        return cls(
            path=path,
            corpus_id=card.parents["corpus"],
            num_words=int(card.config["num_words"]),
            order=int(card.config["order"]),
            low_bits=_mapped(path / NGRAMS_FILE),
            starts=np.load(path / STARTS_FILE),
        )

    @property
    def num_ngrams(self) -> int:
        """The number of different n-grams of the corpus."""
        return len(self.low_bits)

    def contains(self, hashes: Hashes) -> Bools:
        """(N,) whether the corpus has each n-gram, by its hash (N,)."""
        buckets, low = (hashes >> _TO_BUCKET).astype(np.int64), ((hashes >> _CUT) & _LOW).astype(np.uint32)
        found = np.zeros(len(hashes), dtype=np.bool_)
        for at, (bucket, bits) in enumerate(zip(buckets.tolist(), low, strict=True)):
            inside = self.low_bits[self.starts[bucket] : self.starts[bucket + 1]]
            place = int(np.searchsorted(inside, bits))
            found[at] = place < len(inside) and inside[place] == bits
        return found


def open_index(folder: Path, corpus: Corpus, progress: Progress | None = None) -> NgramIndex:
    """Open the index of a corpus' training documents; build it if it does not exist.

    Args:
        folder: folder of indexes (`indexes` of a workspace); the corpus' id names the index in it.
        corpus: the corpus; its held-out documents are not training text and are left out.
        progress: called with the bytes of text read and the bytes of all text.
    """
    if find_index(folder, corpus) is None:
        build_index(_with_progress(corpus, progress or silent), _place(folder, corpus), corpus.id)
    return NgramIndex.open(_place(folder, corpus))


def find_index(folder: Path, corpus: Corpus) -> Path | None:
    """The path of the index of a corpus, or None if it has to be built; arguments as in `open_index`."""
    path = _place(folder, corpus)
    there = (path / CARD_FILE).exists() and read_card(path).config.get("version") == VERSION
    return path if there else None


def _place(folder: Path, corpus: Corpus) -> Path:
    return folder / f"ngrams-{corpus.id}"


def build_index(texts: Iterable[str], path: Path, corpus_id: str, *, order: int = ORDER) -> None:
    """Write the index of texts; no n-gram reaches from one text into the next.

    Args:
        texts: the texts, read once.
        path: folder to write; it appears only when it is complete.
        corpus_id: id of the corpus, which identifies the index.
        order: number of words of an n-gram.
    """
    with atomic_folder(path) as work:
        scratch = work / ".scratch"
        scratch.mkdir()
        num_words = _spread(texts, scratch, order)
        _sort(scratch, work)
        shutil.rmtree(scratch)
        config = {"version": VERSION, "order": order, "num_words": num_words}
        write_card(work, kind=KIND, parents={"corpus": corpus_id}, config=config)


def _with_progress(corpus: Corpus, progress: Progress) -> Iterator[str]:
    total, done = corpus.num_bytes("train"), 0
    for document in corpus.documents("train"):
        yield document.text
        done += len(document.text.encode())
        progress("index", done, total, "")


def _spread(texts: Iterable[str], scratch: Path, order: int) -> int:
    """Write the hashes of all n-grams to files by their first byte; return the number of words."""
    hasher, num_words, num_waiting = WordHasher(), 0, 0
    waiting: list[Hashes] = []
    for text in texts:
        for number, words in enumerate(hasher.hash_long_text(text, order - 1)):
            num_words += len(words) - (min(order - 1, len(words)) if number else 0)
            waiting.append(ngram_hashes(words, order))
            num_waiting += len(waiting[-1])
            if num_waiting >= _BUFFERED or len(waiting) >= _BUFFERED_TEXTS:
                _append(waiting, scratch)
                num_waiting = 0
    _append(waiting, scratch)
    return num_words


def _append(waiting: list[Hashes], scratch: Path) -> None:
    """Append the waiting hashes to the files of the parts."""
    hashes = np.sort(np.concatenate([*waiting, np.zeros(0, dtype=np.uint64)]))
    ends = np.searchsorted(hashes >> _TO_PART, np.arange(_PARTS + 1, dtype=np.uint64))
    for part in range(_PARTS):
        if ends[part] < ends[part + 1]:
            with (scratch / f"{part:03d}").open("ab") as file:
                file.write(hashes[ends[part] : ends[part + 1]].tobytes())
    waiting.clear()


def _sort(scratch: Path, work: Path) -> None:
    """Sort the parts into one file with each n-gram once, and write the beginnings of the buckets."""
    counts = np.zeros(_BUCKETS, dtype=np.int64)
    with (work / NGRAMS_FILE).open("wb") as file:
        for path in sorted(scratch.iterdir()):
            hashes = np.unique(np.fromfile(path, dtype=np.uint64) >> _CUT)  # 48 bits
            counts += np.bincount((hashes >> _TO_LOW).astype(np.int64), minlength=_BUCKETS)
            file.write((hashes & _LOW).astype("<u4").tobytes())
            path.unlink()
    np.save(work / STARTS_FILE, np.concatenate([[0], np.cumsum(counts)]))


def _mapped(path: Path) -> npt.NDArray[np.uint32]:
    if not path.stat().st_size:
        return np.zeros(0, dtype=np.uint32)  # an empty file cannot be mapped
    return np.memmap(path, dtype="<u4", mode="r")


def index_bytes(index: NgramIndex) -> int:
    """The bytes of the index on disk."""
    return sum(path.stat().st_size for path in index.path.iterdir())
