"""Windows over the words of a long sentence: cut between words, overlapping, each word spoken for by one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Int32s, Int64s
from lavra.data.rows.word_pieces import WordPieces


@dataclass(frozen=True, kw_only=True)
class WordWindow:
    """Some words of a sentence in a row.

    Attributes:
        ids: (T,) their pieces, without the frame.
        words: (K,) numbers of the words the window speaks for.
        starts, stops: (K,) where the pieces of each such word begin and end in the framed row.
    """

    ids: Int32s
    words: Int64s
    starts: Int64s
    stops: Int64s


def word_windows(pieces: WordPieces, capacity: int, overlap: int, before: int) -> list[WordWindow]:
    """The windows of a sentence.

    Args:
        pieces: the sentence; of a word longer than `capacity` the first `capacity` pieces are shown.
        capacity: pieces a window holds.
        overlap: pieces shown again by the next window, at most; less than `capacity`.
        before: special tokens in front of the text in a row.
    """
    lengths = np.minimum(pieces.lengths, capacity)
    bounds = _bounds(lengths.tolist(), capacity, overlap)
    ends = np.concatenate([[0], np.cumsum(lengths)])  # piece at which each word begins, were all in one row
    owners = _owners(bounds, ends)
    sources = np.concatenate([[0], np.cumsum(pieces.lengths)])
    windows = []
    for number, (first, stop) in enumerate(bounds):
        words = first + np.flatnonzero((owners[first:stop] == number) & (lengths[first:stop] > 0))
        starts = ends[words] - ends[first] + before
        shown = [pieces.ids[sources[word] : sources[word] + lengths[word]] for word in range(first, stop)]
        windows.append(WordWindow(ids=np.concatenate(shown), words=words, starts=starts, stops=starts + lengths[words]))
    return windows


def _bounds(lengths: list[int], capacity: int, overlap: int) -> list[tuple[int, int]]:
    """(first, stop) words of each window, each of at most `capacity` pieces."""
    bounds = []
    first = 0
    while True:
        stop, filled = first, 0
        while stop < len(lengths) and filled + lengths[stop] <= capacity:
            filled += lengths[stop]
            stop += 1
        bounds.append((first, stop))
        if stop == len(lengths):
            return bounds
        # Go back over words shown already, as long as the next new word still finds room behind them.
        back, most = 0, min(overlap, capacity - lengths[stop])
        next_first = stop
        while next_first - 1 > first and back + lengths[next_first - 1] <= most:
            next_first -= 1
            back += lengths[next_first]
        first = next_first


def _owners(bounds: list[tuple[int, int]], ends: Int64s) -> Int64s:
    """(W,) the window that shows most pieces on the shorter side of each word; the earlier of two alike."""
    best = np.full(len(ends) - 1, -1, dtype=np.int64)
    owners = np.zeros(len(ends) - 1, dtype=np.int64)
    for number, (first, stop) in enumerate(bounds):
        words = np.arange(first, stop)
        context = np.minimum(ends[words] - ends[first], ends[stop] - ends[words + 1])
        better = words[context > best[words]]
        best[better], owners[better] = context[context > best[words]], number
    return owners
