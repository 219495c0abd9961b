"""The official scores of GLUE and SuperGLUE, of predicted rows.

Accuracy, F1 of the positive class and Matthews' correlation as GLUE counts them; CB's F1 is the mean over its classes;
MultiRC's F1a is over all answers and its exact match over questions (Khashabi et al. 2018); ReCoRD's F1 and exact match
are of the best gold answer after SQuAD's normalisation (Zhang et al. 2018).  A score comes with the units of a
bootstrap's draw: rows, or the questions that share rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.metrics.answers import SquadVersion, answer_f1, exact_match
from lavra.metrics.classification import classification_scores, f1, regression_scores
from lavra.metrics.intervals import Interval, score_intervals
from lavra.runs.glue.rows import GlueRow

POSITIVE = "1"
"""The label whose F1 GLUE and SuperGLUE count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GluePrediction:
    """A model's prediction for a row.

    Attributes:
        label: the likeliest label, or the number predicted, or the place of the likeliest ending.
        positive: probability of the positive label, where there is one.
    """

    label: str | float | int
    positive: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Countable:
    """Predictions ready to be scored as often as a bootstrap wants.

    Attributes:
        num_units: rows, or questions.
        scores: a function from the numbers of drawn units to the scores by name; NaN where a score is not defined.
    """

    num_units: int
    scores: Callable[[Int64s], Mapping[str, float]]

    def values(self) -> dict[str, float]:
        """The scores of all units."""
        return dict(self.scores(np.arange(self.num_units)))

    def intervals(self, seed: int = 0) -> dict[str, Interval]:
        """The bootstrap interval of each score."""
        return score_intervals(self.scores, self.num_units, seed=seed)


Count = Callable[[Sequence[GlueRow], Sequence[GluePrediction]], Countable]


def count_labels(*names: str) -> Count:
    """Scores of one label a row.

    Args:
        names: the benchmark's scores among accuracy, f1, macro_f1 and matthews.
    """

    def count(rows: Sequence[GlueRow], predicted: Sequence[GluePrediction]) -> Countable:
        labels = sorted({str(row.label) for row in rows} | {str(one.label) for one in predicted})
        index = {label: place for place, label in enumerate(labels)}
        expected = np.array([index[str(row.label)] for row in rows], dtype=np.int64)
        given = np.array([index[str(one.label)] for one in predicted], dtype=np.int64)

        def scores(taken: Int64s) -> dict[str, float]:
            found = classification_scores(expected[taken], given[taken], labels)
            positive = [one.f1 for one in found.classes if one.name == POSITIVE]
            values = {**found.to_values(), "f1": positive[0] if positive else 0.0}
            return {name: values[name] for name in names}

        return Countable(num_units=len(rows), scores=scores)

    return count


def count_numbers(rows: Sequence[GlueRow], predicted: Sequence[GluePrediction]) -> Countable:
    """Pearson's and Spearman's correlation (STS-B)."""
    expected = np.array([row.label for row in rows], dtype=np.float64)
    given = np.array([one.label for one in predicted], dtype=np.float64)

    def scores(taken: Int64s) -> dict[str, float]:
        found = regression_scores(expected[taken], given[taken])
        return {"pearson": found.pearson, "spearman": found.spearman}

    return Countable(num_units=len(rows), scores=scores)


def count_answers(rows: Sequence[GlueRow], predicted: Sequence[GluePrediction]) -> Countable:
    """F1a over all answers, and the share of questions whose answers are all judged right (MultiRC)."""
    counts = np.zeros((_num_groups(rows), 4))  # true positives, predicted, expected, wrong
    for row, one in zip(rows, predicted, strict=True):
        is_said, is_true = one.label == POSITIVE, row.label == POSITIVE
        counts[row.group] += (is_said and is_true, is_said, is_true, is_said != is_true)

    def scores(taken: Int64s) -> dict[str, float]:
        true_positives, positives, expected, _ = counts[taken].sum(axis=0)
        all_right = counts[taken, 3] == 0
        return {"f1a": float(f1(true_positives, positives, expected)[2]), "exact_match": float(all_right.mean())}

    return Countable(num_units=len(counts), scores=scores)


def count_candidates(rows: Sequence[GlueRow], predicted: Sequence[GluePrediction]) -> Countable:
    """F1 and exact match of each query's likeliest candidate (ReCoRD)."""
    best: dict[int, tuple[float, GlueRow]] = {}
    for row, one in zip(rows, predicted, strict=True):
        if row.group not in best or one.positive > best[row.group][0]:
            best[row.group] = (one.positive, row)
    chosen = [row for _, row in best.values()]
    exact = _best_golds(chosen, exact_match)
    overlap = _best_golds(chosen, lambda given, gold: answer_f1(given, gold, version=SquadVersion.V1))

    def scores(taken: Int64s) -> dict[str, float]:
        return {"f1": float(overlap[taken].mean()), "exact_match": float(exact[taken].mean())}

    return Countable(num_units=len(chosen), scores=scores)


def count_choices(rows: Sequence[GlueRow], predicted: Sequence[GluePrediction]) -> Countable:
    """Share of right endings (COPA)."""
    right = np.array([row.label == one.label for row, one in zip(rows, predicted, strict=True)], dtype=np.float64)
    return Countable(num_units=len(rows), scores=lambda taken: {"accuracy": float(right[taken].mean())})


def defined(value: float) -> float | None:
    """A score, or None where it is not defined (a correlation of equal predictions)."""
    return None if math.isnan(value) else value


def _num_groups(rows: Sequence[GlueRow]) -> int:
    return max(row.group for row in rows) + 1


def _best_golds(chosen: Sequence[GlueRow], compare: Callable[[str, str], float]) -> Float64s:
    return np.array([max((compare(row.candidate, gold) for gold in row.golds), default=0.0) for row in chosen])
