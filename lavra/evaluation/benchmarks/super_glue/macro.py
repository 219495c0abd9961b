"""CommitmentBank's F1: the mean over its three labels."""

from __future__ import annotations

from collections.abc import Sequence


def label_f1(pairs: Sequence[tuple[int, int]], label: int) -> float:
    """F1 of one label over (right, answered) pairs; 0 where it never occurs."""
    true = sum(right == label and answered == label for right, answered in pairs)
    either = sum(int(right == label) + int(answered == label) for right, answered in pairs)
    return 2 * true / either if either else 0.0


def cb_multi_fi(items: Sequence[tuple[int, int]]) -> float:
    """Mean of the labels' F1."""
    return sum(label_f1(items, label) for label in range(3)) / 3
