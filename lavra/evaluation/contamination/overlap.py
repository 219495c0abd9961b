"""The share of an item that stands in a training corpus, and the verdict whether the model may have seen the item.

The texts of an item are all texts of its row (question, choices, passage, answer), each by itself; their n-grams of 8
words are looked up.  An item is called overlapping by the *share* of its words that stand inside a found n-gram: a
single shared phrase is not enough, and a leak in which some words were changed keeps the stretches between them.
N-grams that many items of a task have (an instruction, a form of question) say nothing about a single item and are left
out, as GPT-3's filter leaves out n-grams of more than ten documents (Brown et al. 2020, appendix C).
`benchmarks/planted_leaks.py` measures how often this finds planted leaks and how often it accuses clean items; the
results are in docs/contamination.md.

Deliberately absent: paraphrases and translations, which share no n-grams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from lavra.base.errors import ConfigError
from lavra.evaluation.contamination.index import NgramIndex
from lavra.evaluation.contamination.ngrams import Hashes, WordHasher, ngram_hashes
from lavra.metrics.intervals import Bools

SHARE = 0.3
"""An item with at least this share of its words in found n-grams is called overlapping.

At 0.3, 0.61 of leaks with a fifth of their words changed are found, and 0.0056 of clean items are accused; at 0.5,
0.35 and 0.0039 (docs/contamination.md)."""
COMMON_ITEMS, COMMON_SHARE = 10, 0.05
"""An n-gram is common if at least 10 items and at least 5 % of the items of a task have it."""


class OverlapVerdict(Enum):
    """The verdict on an item."""

    OVERLAPPING = "overlapping"
    NO_OVERLAP = "no overlap"
    TOO_SHORT = "too short"  # it has no n-gram of its own: no verdict is possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """The n-grams that an item shares with a corpus.

    Attributes:
        num_ngrams: number of n-grams of the item, without the n-grams that many items have.
        num_found: number of these n-grams that the corpus has.
        share: share of words in found n-grams among the item's words in n-grams, 0 to 1.
        longest_run: most words in a row that stand in found n-grams.
    """

    num_ngrams: int
    num_found: int
    share: float
    longest_run: int

    def verdict(self, threshold: float = SHARE) -> OverlapVerdict:
        """The verdict on the item; with a share of at least `threshold` it is called overlapping."""
        if not self.num_ngrams:
            return OverlapVerdict.TOO_SHORT
        return OverlapVerdict.OVERLAPPING if self.share >= threshold else OverlapVerdict.NO_OVERLAP


def check_texts(indexes: Sequence[NgramIndex], items: Sequence[Sequence[str]]) -> list[Overlap]:
    """Look the texts of each item up in one corpus or several; no n-gram reaches from one text into the next.

    Raises:
        ConfigError: there is no index, or the indexes have n-grams of different lengths.
    """
    orders = {index.order for index in indexes}
    if len(orders) != 1:
        raise ConfigError(f"the indexes have n-grams of {sorted(orders)} words; give at least one, all of the same")
    order, hasher = orders.pop(), WordHasher()
    hashed = [[ngram_hashes(hasher.hash_text(text), order) for text in texts] for texts in items]
    common = _common(hashed)
    return [_overlap(indexes, ngrams, common) for ngrams in hashed]


def _common(items: Sequence[Sequence[Hashes]]) -> Hashes:
    """The n-grams that many of the items have."""
    each = [np.unique(np.concatenate(ngrams)) for ngrams in items if ngrams]
    if not each:
        return np.zeros(0, dtype=np.uint64)
    ngrams, times = np.unique(np.concatenate(each), return_counts=True)
    many: Hashes = ngrams[times >= max(COMMON_ITEMS, COMMON_SHARE * len(items))]
    return many


def _overlap(indexes: Sequence[NgramIndex], ngrams: Sequence[Hashes], common: Hashes) -> Overlap:
    own = [~np.isin(hashes, common) for hashes in ngrams]
    found = [_in_any(indexes, hashes) & mine for hashes, mine in zip(ngrams, own, strict=True)]
    inside = [_inside(hits, indexes[0].order) for hits in found]
    num_words = sum(int(_inside(mine, indexes[0].order).sum()) for mine in own)
    return Overlap(
        num_ngrams=sum(int(mine.sum()) for mine in own),
        num_found=sum(int(hits.sum()) for hits in found),
        share=sum(int(covered.sum()) for covered in inside) / num_words if num_words else 0.0,
        longest_run=max((_longest_run(covered) for covered in inside), default=0),
    )


def _in_any(indexes: Sequence[NgramIndex], hashes: Hashes) -> Bools:
    found = np.zeros(len(hashes), dtype=np.bool_)
    for index in indexes:
        found |= index.contains(hashes)
    return found


def texts_of(value: Any) -> Iterator[str]:
    """All texts of a row, in order, including the texts within lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for inside in value.values() if isinstance(value, Mapping) else value:
            yield from texts_of(inside)


def _inside(hits: Bools, order: int) -> Bools:
    """(W,) whether each word stands in one of the n-grams marked (W - order + 1,)."""
    ends = np.zeros(len(hits) + order, dtype=np.int64)
    ends[: len(hits)] += hits
    ends[order:] -= hits
    covered: Bools = np.cumsum(ends)[:-1] > 0
    return covered


def _longest_run(covered: Bools) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], covered.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
