"""Sort postings by term, in files, so that memory does not grow with their number.

Postings arrive by chunk and go straight to scratch files.  Then they are counted by term, which gives the place where
each term's postings begin, and copied block by block to their places (a counting sort).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from lavra.base.arrays import Int32s, Int64s
from lavra.rag.bm25.files import TERMS

BLOCK: Final = 1 << 17  # postings
Mapped = np.memmap[Any, np.dtype[Any]]
_SCRATCH: Final = ("terms", "rows", "counts")


class PostingSorter:
    """A sorter that takes postings and writes them by term into a folder; close it in any case.

    Args:
        folder: path to write to.

    Attributes:
        vocabulary: number of each term, in the order of arrival.
    """

    def __init__(self, folder: Path) -> None:
        self.vocabulary: dict[str, int] = {}
        self._folder = folder
        self._files = {name: self._scratch(name).open("wb") for name in _SCRATCH}
        self._terms, self._counts = array("i"), array("i")
        self._chunks, self._sizes = array("i"), array("i")  # rows not written yet, and the number of postings of each
        self._most = 0

    def close(self) -> None:
        """Close the scratch files."""
        for file in self._files.values():
            file.close()

    def add(self, row: int, counted: Mapping[int, int]) -> None:
        """Add the counts of terms, given by their numbers, in a chunk."""
        self._terms.extend(counted.keys())
        self._counts.extend(counted.values())
        self._chunks.append(row)
        self._sizes.append(len(counted))
        if len(self._terms) >= BLOCK:
            self._flush()

    def add_block(self, terms: Int32s, rows: Int32s, counts: Int32s) -> None:
        """Add many postings."""
        for name, values in zip(_SCRATCH, (terms, rows, counts), strict=True):
            self._files[name].write(values.astype(np.int32).tobytes())
        self._most = max(self._most, int(counts.max(initial=0)))

    def write(self, *, rising: bool) -> None:
        """Write terms, starts, rows and counts, and remove the scratch files; terms without postings are left out.

        Args:
            rising: whether the rows of each term came in rising order.
        """
        self._flush()
        self.close()
        frequencies = np.zeros(len(self.vocabulary), dtype=np.int64)
        for terms, _, _ in self._blocks():
            frequencies += np.bincount(terms, minlength=len(frequencies))
        spelled = sorted(term for term, number in self.vocabulary.items() if frequencies[number])  # as their UTF-8
        places = np.full(len(self.vocabulary), -1, dtype=np.int32)
        numbers = np.fromiter((self.vocabulary[term] for term in spelled), dtype=np.int64, count=len(spelled))
        places[numbers] = np.arange(len(spelled), dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(frequencies[numbers])]).astype(np.int64)
        self._write_terms(spelled)
        np.save(self._folder / "starts.npy", starts)
        self._copy(places, starts, rising=rising)
        for name in _SCRATCH:
            self._scratch(name).unlink()

    def _scratch(self, name: str) -> Path:
        return self._folder / f"{name}.scratch"

    def _flush(self) -> None:
        rows = np.repeat(np.array(self._chunks, dtype=np.int32), np.array(self._sizes, dtype=np.int32))
        self.add_block(np.array(self._terms, dtype=np.int32), rows, np.array(self._counts, dtype=np.int32))
        self._terms, self._counts, self._chunks, self._sizes = (array("i") for _ in range(4))

    def _blocks(self) -> Iterator[tuple[Int32s, Int32s, Int32s]]:
        with (
            self._scratch("terms").open("rb") as terms,
            self._scratch("rows").open("rb") as rows,
            self._scratch("counts").open("rb") as counts,
        ):
            while block := terms.read(4 * BLOCK):
                size = len(block)
                yield (
                    np.frombuffer(block, dtype=np.int32),
                    np.frombuffer(rows.read(size), dtype=np.int32),
                    np.frombuffer(counts.read(size), dtype=np.int32),
                )

    def _write_terms(self, spelled: list[str]) -> None:
        ends = np.zeros(len(spelled), dtype=np.int64)
        place = 0
        with (self._folder / TERMS).open("wb") as file:
            for number, term in enumerate(spelled):
                place += file.write(term.encode())
                ends[number] = place
        np.save(self._folder / "term_ends.npy", ends)

    def _copy(self, places: Int32s, starts: Int64s, *, rising: bool) -> None:
        """Copy each posting to the next free place of its term."""
        small = self._most <= np.iinfo(np.uint16).max  # half the bytes
        rows_out = self._new("rows", int(starts[-1]), np.int32)
        counts_out = self._new("counts", int(starts[-1]), np.uint16 if small else np.int32)
        free = starts[:-1].copy()
        for terms, rows, counts in self._blocks():
            order = np.argsort(places[terms], kind="stable")
            sorted_terms = places[terms[order]]
            before = np.searchsorted(sorted_terms, sorted_terms)  # where the term begins in the block
            target = free[sorted_terms] + np.arange(len(order)) - before
            rows_out[target], counts_out[target] = rows[order], counts[order]
            free += np.bincount(sorted_terms, minlength=len(free))
        if not rising:
            _sort_rows(rows_out, counts_out, starts)
        rows_out.flush()
        counts_out.flush()

    def _new(self, name: str, length: int, dtype: type[np.generic]) -> Mapped:
        file: Mapped = np.lib.format.open_memmap(self._folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(length,))
        return file


def _sort_rows(rows: Mapped, counts: Mapped, starts: Int64s) -> None:
    """Sort the rows of each term, with their counts."""
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        order = np.argsort(rows[start:end])
        rows[start:end], counts[start:end] = rows[start:end][order], counts[start:end][order]
