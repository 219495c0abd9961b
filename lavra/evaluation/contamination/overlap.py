"""How much of an item stands in a training corpus, and whether that is enough to call the item seen.

An item's text is every text of its row (question, choices, passage, answer), each by itself; its n-grams of 8 words are
looked up.  An item is called overlapping by the *share* of its words that stand inside a found n-gram: a single shared
phrase does not make an item seen, and a leak in which some words were changed keeps stretches between them.  N-grams
that many items of a task have (an instruction, a form of question) say nothing of any one item and are left out, as
GPT-3's filter leaves out those of more than ten documents (Brown et al. 2020, appendix C).  How often this finds
planted leaks, and how often it accuses clean items, is measured by `benchmarks/planted_leaks.py` and told in
docs/contamination.md.

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
from lavra.evaluation.items import EvalItem
from lavra.metrics.intervals import Bools

SHARE = 0.3
"""An item with at least this share of its words in found n-grams is called overlapping."""
COMMON_ITEMS, COMMON_SHARE = 10, 0.05
"""An n-gram that at least 10 items and 5 % of a task's have is common to them."""


class OverlapVerdict(Enum):
    """What is said of an item."""

    OVERLAPPING = "overlapping"
    NO_OVERLAP = "no overlap"
    TOO_SHORT = "too short"  # it has no n-gram of its own: nothing can be said


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What an item shares with a corpus.

    Attributes:
        num_ngrams: n-grams of the item, without those that many items have.
        num_found: those of them that the corpus has.
        share: of the item's words that stand in an n-gram, those that stand in a found one, 0 to 1.
        longest_run: most words in a row that stand in found n-grams.
    """

    num_ngrams: int
    num_found: int
    share: float
    longest_run: int

    def verdict(self, threshold: float = SHARE) -> OverlapVerdict:
        """What is said of the item, by the share from which on it is called overlapping."""
        if not self.num_ngrams:
            return OverlapVerdict.TOO_SHORT
        return OverlapVerdict.OVERLAPPING if self.share >= threshold else OverlapVerdict.NO_OVERLAP


def check_items(indexes: Sequence[NgramIndex], items: Sequence[EvalItem]) -> list[Overlap]:
    """What the row of each item of a task shares with one corpus or several.

    Raises:
        ConfigError: there is no index, or they have n-grams of different lengths.
    """
    return check_texts(indexes, [list(texts_of(item.document)) for item in items])


def check_texts(indexes: Sequence[NgramIndex], items: Sequence[Sequence[str]]) -> list[Overlap]:
    """What the texts of each item share with one corpus or several; no n-gram reaches from one text into the next.

    Raises:
        ConfigError: there is no index, or they have n-grams of different lengths.
    """
    orders = {index.order for index in indexes}
    if len(orders) != 1:
        raise ConfigError(f"the indexes have n-grams of {sorted(orders)} words; give at least one, all of the same")
    order, hasher = orders.pop(), WordHasher()
    hashed = [[ngram_hashes(hasher.hash_text(text), order) for text in texts] for texts in items]
    common = _common(hashed)
    return [_overlap(indexes, ngrams, common) for ngrams in hashed]


def _common(items: Sequence[Sequence[Hashes]]) -> Hashes:
    """N-grams that many of the items have."""
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
    """Every text of a row, in order, those within lists and mappings too."""
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
