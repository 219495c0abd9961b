"""Similarity of two sentences as a number: reads the answer, and correlates answers with people's judgements."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

NEUTRAL = 2.5  # the score of an answer without a number


def parse_score(text: str) -> float | None:
    """The first number from 0 to 5 in a text."""
    found = re.search(r"\b([0-5](?:[.,]\d+)?)\b", text)
    return max(0.0, min(5.0, float(found.group(1).replace(",", ".")))) if found else None


def process_results_stsb(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, tuple[float, float]]:
    """(answered, right) under each metric."""
    answered = parse_score(results[0].strip())
    pair = (NEUTRAL if answered is None else answered, float(doc["score"]))
    return {"pearsonr": pair, "spearmanr": pair}


def pearson_corr(items: Sequence[tuple[float, float]]) -> float:
    """Pearson's correlation, 0 where either side is constant."""
    answered, right = zip(*items, strict=True)
    if len(set(answered)) < 2 or len(set(right)) < 2:
        return 0.0
    return statistics.correlation(answered, right)


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 1; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [ordered.index(value) + (1 + ordered.count(value)) / 2 for value in values]


def spearman_corr(items: Sequence[tuple[float, float]]) -> float:
    """Spearman's correlation, 0 where either side is constant."""
    answered, right = zip(*items, strict=True)
    return pearson_corr(list(zip(mean_ranks(answered), mean_ranks(right), strict=True)))
