"""Documents as the corpus divides them: whole where there are enough, in sections where one is too long.

A document that is longer than the whole held-out side would leave it empty or take it over, so it is cut, and its
sections are divided between the sides.  Where a long document is compared with others (or with itself: a book that is
on a line thirty times), its sections are compared.  What lies side by side in a document and goes to the same side is
one text again in the corpus.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
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
_LONG_PROSE, _LONG_CODE = 65_536, 1 << 20  # longer ones are cut however much text there is


@dataclass(frozen=True, kw_only=True)
class SectionSizes:
    """What is cut, and how finely; all sizes in bytes.

    Attributes:
        share: what the held-out side is to have, rounded up to a power of two so that a little more text changes
            nothing; a longer document is divided between the sides.
    """

    share: int

    @classmethod
    def of(cls, num_bytes: int, fraction: float) -> SectionSizes:
        """For this much text."""
        return cls(share=min(_LONG_CODE, 1 << math.ceil(math.log2(max(1.0, heldout_target(num_bytes, fraction))))))

    @property
    def section(self) -> int:
        """The most a section has."""
        return min(_MOST_SECTION, max(_LEAST_SECTION, self.share // 8))

    @property
    def unit(self) -> int:
        """About what sections side by side have together that go to one side."""
        return max(self.section, self.share // 32)

    def longest(self, kind: str) -> int:
        """The most a document of a kind has that is not cut."""
        return min(self.share, _LONG_CODE if kind == "code" else _LONG_PROSE)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A document as its author made it, in the sections that are compared.

    Attributes:
        id: of the document, or of the first of the parts that a reader cut it into.
        source: where it is.
        kind: as of its documents.
        is_cut: whether it is in sections.
        sections: its text in order; one where it is not cut.
    """

    id: str
    source: str
    kind: str
    is_cut: bool
    sections: Iterator[str]


def works(documents: Iterable[Document], sizes: SectionSizes) -> Iterator[Work]:
    """The works that documents are or are parts of; use the sections of one up before asking for the next."""
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
    """Each document with the number of its run of parts: one that follows the one before it continues its work."""
    run, expected = 0, ("", "")
    for document in documents:
        part_of, part = document.meta.get(PART_OF, ""), document.meta.get(PART, "")
        if not part_of or (part_of, part) != expected:
            run += 1
        expected = (part_of, str(int(part) + 1)) if part_of else ("", "")
        yield run, document


class Units:
    """What goes to a side as a whole: a document, some sections of a long one, and all that is similar to either."""

    def __init__(self, sizes: SectionSizes) -> None:
        self._sizes = sizes
        self._bytes, self._unit, self._num_units = array("q"), array("q"), 0
        self.last_bytes = 0

    def add(self, sections: Sequence[int]) -> None:
        """The next work, by the bytes of its sections."""
        is_divided = len(sections) > 1 and sum(sections) > self._sizes.share
        together = max(1, self._sizes.unit // self._sizes.section) if is_divided else len(sections)
        self.last_bytes = sum(sections)
        for number, size in enumerate(sections):
            self._bytes.append(size)
            self._unit.append(self._num_units + number // together)
        self._num_units = self._unit[-1] + 1

    @property
    def sizes(self) -> I64:
        """(N,) bytes of every section."""
        return np.array(self._bytes, dtype=np.int64)

    def sides(
        self, clusters: Clusters, removed: npt.NDArray[np.bool_], *, seed: int, fraction: float
    ) -> npt.NDArray[np.bool_]:
        """(N,) whether a section is held out; of those that are removed it says nothing.

        Args:
            clusters: of the sections.
            removed: (N,) whether a section is left out as a duplicate.
            seed: of the split.
            fraction: of the bytes that are left.

        Raises:
            InputError: fewer than two units are left.
        """
        left = np.flatnonzero(~removed)
        root, unit = np.arange(self._num_units), np.array(self._unit, dtype=np.int64)
        if (clusters.first[left] != left).any():  # near-duplicates are kept
            join(root, unit[left], unit[clusters.linked[left]])
        _, begins, unit_left = np.unique(root[unit[left]], return_index=True, return_inverse=True)
        sizes = np.bincount(unit_left, weights=self.sizes[left]).astype(np.int64)
        out = held_out(clusters.key[left[begins]], sizes, seed=seed, fraction=fraction)
        sides = np.zeros(len(unit), dtype=bool)
        sides[left] = out[unit_left]
        return sides
