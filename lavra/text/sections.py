"""Divide documents for the corpus: whole where there are enough, in sections where a document is too long.

A document that is longer than the whole held-out side would leave that side empty or fill it alone, so it is cut, and
its sections are divided between the sides.  Where a long document is compared with others (or with itself: a book that
is on a line thirty times), its sections are compared.  Neighbouring sections of a document that go to the same side
are one text again in the corpus.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
import numpy.typing as npt

from lavra.base.types import Document
from lavra.text.cutting import PART, PART_OF, CutAt, CutConfig, Measure, cut
from lavra.text.dedup import Clusters, join
from lavra.text.shingles import I64
from lavra.text.split import held_out, heldout_target

_LEAST_SECTION, _MOST_SECTION = 256, 4096  # bytes: some 60 and 1,000 tokens
_LONG_PROSE, _LONG_CODE = 65_536, 1 << 20  # longer documents are cut with any amount of text


@dataclass(frozen=True, kw_only=True)
class SectionSizes:
    """The lengths from which documents are cut, and the sizes of sections; all sizes in bytes.

    Attributes:
        share: bytes that the held-out side should have, rounded up to a power of the square root of two, so that a
            little more text changes nothing.
    """

    share: int

    @classmethod
    def of(cls, num_bytes: int, fraction: float) -> SectionSizes:
        """The sizes for an amount of text."""
        half_powers = math.ceil(2 * math.log2(max(1.0, heldout_target(num_bytes, fraction))))
        return cls(share=round(2 ** (half_powers / 2)))

    @property
    def section(self) -> int:
        """Greatest size of a section."""
        return min(_MOST_SECTION, max(_LEAST_SECTION, 1 << (self.share // 8).bit_length() >> 1))

    @property
    def unit(self) -> int:
        """Approximate size of neighbouring sections that go to one side together."""
        return max(self.section, self.share // 32)

    @property
    def longest_whole(self) -> int:
        """Greatest size of a document that goes whole to one side; it may be a little over that side's share."""
        return self.share + self.share // 4

    def cut_alike(self, other: SectionSizes) -> bool:
        """Whether documents are cut in the same places, with any division of their sections between the sides."""
        return self.section == other.section and all(
            self.longest(kind) == other.longest(kind) for kind in ("text", "code")
        )

    def longest(self, kind: str) -> int:
        """Greatest size of a document of a kind that is not cut."""
        return min(self.longest_whole, _LONG_CODE if kind == "code" else _LONG_PROSE)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A document as its author made it, in the sections that are compared.

    Attributes:
        id: id of the document, or of the first of the parts that a reader cut it into.
        source: source of the document.
        kind: kind of its documents.
        is_cut: whether it is cut into sections.
        sections: its text in order; a single section where it is not cut.
    """

    id: str
    source: str
    kind: str
    is_cut: bool
    sections: Iterator[str]


def works(documents: Iterable[Document], sizes: SectionSizes) -> Iterator[Work]:
    """The works that the documents are, or are parts of; read all sections of a work before the next work."""
    for _, group in groupby(_numbered(documents), key=lambda pair: pair[0]):
        parts = (document for _, document in group)
        first = next(parts)
        texts = chain([first.text], (part.text for part in parts))
        is_cut = PART_OF in first.meta or len(first.text.encode()) > sizes.longest(first.kind)
        at = CutAt.STRUCTURE if first.kind == "code" else CutAt.WORDS
        config = CutConfig(size=sizes.section, measure=Measure.BYTES, at=at)
        yield Work(
            id=first.id,
            source=first.meta.get(PART_OF, first.source),
            kind=first.kind,
            is_cut=is_cut,
            sections=(section.text for section in cut(texts, config)) if is_cut else texts,
        )


def _numbered(documents: Iterable[Document]) -> Iterator[tuple[int, Document]]:
    """Each document with the number of its run of parts: a part that follows the part before it continues its work."""
    run, expected = 0, ("", "")
    for document in documents:
        part_of, part = document.meta.get(PART_OF, ""), document.meta.get(PART, "")
        if not part_of or (part_of, part) != expected:
            run += 1
        expected = (part_of, str(int(part) + 1)) if part_of else ("", "")
        yield run, document


class Units:
    """The units of the split: a document, or some sections of a long one, with all sections similar to either."""

    def __init__(self) -> None:
        self._bytes, self._work, self._place = array("q"), array("q"), array("q")
        self._num_works = 0

    def add(self, sections: Iterable[int]) -> int:
        """Add the next work, by the bytes of its sections; returns all its bytes."""
        total = 0
        for place, size in enumerate(sections):
            total += size
            self._bytes.append(size)
            self._work.append(self._num_works)
            self._place.append(place)
        self._num_works += 1
        return total

    @property
    def bytes(self) -> I64:
        """(N,) bytes of every section."""
        return np.array(self._bytes, dtype=np.int64)

    def units(self, sizes: SectionSizes) -> I64:
        """(N,) the number of each section's unit: its work, or its neighbouring sections where the work is divided."""
        work, place = np.array(self._work, dtype=np.int64), np.array(self._place, dtype=np.int64)
        total = np.bincount(work, weights=self.bytes, minlength=self._num_works)[work]
        together = max(1, sizes.unit // sizes.section)
        block = np.where(total > sizes.longest_whole, place // together, 0)
        begins = np.ones(len(work), dtype=np.int64)
        begins[1:] = (work[1:] != work[:-1]) | (block[1:] != block[:-1])
        return np.asarray(np.cumsum(begins) - 1)

    def sides(
        self,
        sizes: SectionSizes,
        clusters: Clusters,
        removed: npt.NDArray[np.bool_],
        *,
        seed: int,
        fraction: float,
    ) -> npt.NDArray[np.bool_]:
        """(N,) whether a section is held out; the value of a removed section means nothing.

        Args:
            sizes: the sizes for the text that is left.
            clusters: the clusters of the sections.
            removed: (N,) whether a section is left out as a duplicate.
            seed: seed of the split.
            fraction: fraction to hold out of the bytes that are left.

        Raises:
            InputError: fewer than two units are left.
        """
        left = np.flatnonzero(~removed)
        unit = self.units(sizes)
        root = np.arange(len(unit))
        if (clusters.first[left] != left).any():  # near-duplicates are kept
            join(root, unit[left], unit[clusters.linked[left]])
        _, begins, unit_left = np.unique(root[unit[left]], return_index=True, return_inverse=True)
        num_bytes = np.bincount(unit_left, weights=self.bytes[left]).astype(np.int64)
        out = held_out(clusters.key[left[begins]], num_bytes, seed=seed, fraction=fraction)
        sides = np.zeros(len(unit), dtype=bool)
        sides[left] = out[unit_left]
        return sides
