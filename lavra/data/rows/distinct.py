"""Batches without the same text twice, for losses that take the other texts of a batch as wrong answers.

With in-batch negatives (Henderson et al. 2017) a text that stands in two samples of a batch would be its own negative.
As sentence-transformers' `NoDuplicatesBatchSampler` does, samples that share a text are kept apart; unlike there no
sample is put off to a batch of its own at the end if another one has room for it, and the number of batches is the
same in every epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lavra.base.arrays import Int64s


def distinct_batches(
    order: Sequence[int], texts: Sequence[Sequence[int]], size: int, num_batches: int | None = None
) -> list[Int64s] | None:
    """Deal samples out so that no two of a batch share a text.

    Args:
        order: numbers of the samples, in the order they are to be dealt.
        texts: the texts of each sample, as numbers, by number of the sample.
        size: samples a batch, at most.
        num_batches: the required number of batches; by default as few as this greedy way needs.

    Returns:
        Batches with at least one sample each; `None` where `num_batches` do not do.
    """
    counts = Counter(text for sample in order for text in set(texts[sample]))
    most_common = max(counts.values(), default=0)
    least = max(-(-len(order) // size), most_common)
    deal = _OpenBatches(texts, size, num_batches or least)
    # Those that share texts first, while there is room everywhere; the others fit anywhere.
    shared = [sample for sample in order if any(counts[text] > 1 for text in texts[sample])]
    for sample in shared:
        if not deal.place(sample):
            if num_batches is not None:
                return None
            deal.open(sample)
    set_apart = set(shared)
    deal.fill([sample for sample in order if sample not in set_apart])
    batches = [np.asarray(batch, dtype=np.int64) for batch in deal.batches if batch]
    return batches if num_batches is None or len(batches) == num_batches else None


class _OpenBatches:
    """Batches being filled."""

    def __init__(self, texts: Sequence[Sequence[int]], size: int, num_batches: int) -> None:
        self._texts, self._size = texts, size
        self.batches: list[list[int]] = [[] for _ in range(num_batches)]
        self._held: list[set[int]] = [set() for _ in range(num_batches)]
        self._next: dict[int, int] = {}  # by text: the batch after the last one that got it, where to look first

    def place(self, sample: int) -> bool:
        """Put a sample in the next batch with room and none of its texts; False where there is none."""
        texts = self._texts[sample]
        first = max(self._next.get(text, 0) for text in texts)
        for step in range(len(self.batches)):
            number = (first + step) % len(self.batches)
            if len(self.batches[number]) < self._size and self._held[number].isdisjoint(texts):
                self._put(sample, number)
                return True
        return False

    def open(self, sample: int) -> None:
        """Put a sample in a new batch."""
        self.batches.append([])
        self._held.append(set())
        self._put(sample, len(self.batches) - 1)

    def fill(self, samples: Sequence[int]) -> None:
        """Put samples that share nothing wherever there is room: one in each empty batch first, then batch by batch."""
        empty = [batch for batch in self.batches if not batch]
        for batch, sample in zip(empty, samples, strict=False):
            batch.append(sample)
        placed = len(empty)
        for batch in self.batches:
            capacity = self._size - len(batch)
            batch.extend(samples[placed : placed + capacity])
            placed += capacity

    def _put(self, sample: int, number: int) -> None:
        self.batches[number].append(sample)
        self._held[number].update(self._texts[sample])
        for text in self._texts[sample]:
            self._next[text] = number + 1
