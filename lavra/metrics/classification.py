"""Scores of classifiers: one class of many, several labels at once, and numbers.

A precision or recall whose denominator is empty is 0, and a class that neither occurs nor is predicted has no part in
an average over classes.  Both are scikit-learn's ways, but for several labels at once, where it counts such a label as
0; here it has no part there either.  Matthews' correlation for many classes is Gorodkin's (2004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import InputError
from lavra.metrics.intervals import LEVEL, RESAMPLES, Bools, Interval, score_intervals


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Scores of one class.

    Attributes:
        name: name of the class.
        precision: share of the samples given this class that have it.
        recall: share of the samples with this class that are given it.
        f1: harmonic mean of the two.
        support: samples that have it.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class ClassificationScores:
    """Scores of a classifier with one class a sample.

    Attributes:
        accuracy: share of right answers; for one class a sample, micro-averaged F1 is the same number.
        macro_f1: mean F1 of the classes that occur or are predicted.
        weighted_f1: mean F1 of the classes, weighted by frequency.
        matthews: correlation of answer and truth, 0 for chance, 1 for all right.
        confusion: (C, C) samples by true class (row) and predicted class (column).
        classes: each class that occurs or is predicted.
        num_samples: number of samples.
    """

    accuracy: float
    macro_f1: float
    weighted_f1: float
    matthews: float
    confusion: Int64s
    classes: tuple[ClassScore, ...]
    num_samples: int

    @property
    def micro_f1(self) -> float:
        """F1 of all decisions together, which is the accuracy."""
        return self.accuracy

    def to_values(self) -> dict[str, float]:
        """The scores by name."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
            "matthews": self.matthews,
        }


@dataclass(frozen=True, kw_only=True)
class MultiLabelScores:
    """Scores of a classifier with several labels a sample.

    Attributes:
        exact_match: share of samples with all labels right.
        micro_f1: F1 of all decisions together.
        macro_f1: mean F1 of the labels that occur or are predicted; 0 where none is.
        weighted_f1: mean F1 of the labels, weighted by frequency.
        classes: each label that occurs or is predicted.
        num_samples: number of samples.
    """

    exact_match: float
    micro_f1: float
    macro_f1: float
    weighted_f1: float
    classes: tuple[ClassScore, ...]
    num_samples: int

    def to_values(self) -> dict[str, float]:
        """The scores by name."""
        return {
            "exact_match": self.exact_match,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
        }


@dataclass(frozen=True, kw_only=True)
class RegressionScores:
    """Scores of predicted numbers.

    Attributes:
        pearson: linear correlation; NaN where either side is constant.
        spearman: correlation of ranks, ties at their mean rank; NaN likewise.
        mse: mean squared error.
        mae: mean absolute error.
        num_samples: number of samples.
    """

    pearson: float
    spearman: float
    mse: float
    mae: float
    num_samples: int

    def to_values(self) -> dict[str, float]:
        """The scores by name."""
        return {"pearson": self.pearson, "spearman": self.spearman, "mse": self.mse, "mae": self.mae}


def f1(true_positives: float, predicted: float, expected: float) -> tuple[float, float, float]:
    """Precision, recall and F1 from counts; 0 where the denominator is."""
    precision = true_positives / predicted if predicted else 0.0
    recall = true_positives / expected if expected else 0.0
    return precision, recall, 2.0 * true_positives / (predicted + expected) if predicted + expected else 0.0


def macro_f1(truth: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]) -> float:
    """Mean F1 over all labels.

    A label neither expected nor answered counts as 0; `ClassificationScores.macro_f1` leaves such a label out.

    Args:
        truth: (N,) the right labels.
        answers: (N,) the given ones; None, no label at all, is wrong for the right label's recall.
        labels: the labels averaged over.
    """
    total = 0.0
    for label in labels:
        hits = sum(right == label == given for right, given in zip(truth, answers, strict=True))
        total += f1(hits, sum(given == label for given in answers), sum(right == label for right in truth))[2]
    return total / len(labels)


def classification_scores(expected: Int64s, predicted: Int64s, names: Sequence[str]) -> ClassificationScores:
    """Scores of one class a sample.

    Args:
        expected: (N,) true class by number.
        predicted: (N,) class answered.
        names: (C,) of the classes.

    Raises:
        InputError: there are no samples, the lengths differ, or a class has no name.
    """
    _check_same(expected, predicted)
    for which, values in (("true", expected), ("predicted", predicted)):
        if values.min() < 0 or values.max() >= len(names):
            bad = int(values.min() if values.min() < 0 else values.max())
            raise InputError(f"a {which} class is {bad}; there are {len(names)} classes, counted from 0")
    num_classes = len(names)
    confusion = np.bincount(expected * num_classes + predicted, minlength=num_classes**2)
    confusion = confusion.reshape(num_classes, num_classes).astype(np.int64)
    right = confusion.diagonal()
    classes = _class_scores(right, confusion.sum(axis=0), confusion.sum(axis=1), names)
    return ClassificationScores(
        accuracy=float(right.sum() / len(expected)),
        macro_f1=_mean_f1(classes),
        weighted_f1=_weighted_f1(classes),
        matthews=_matthews(confusion),
        confusion=confusion,
        classes=classes,
        num_samples=len(expected),
    )


def multi_label_scores(expected: Bools, predicted: Bools, names: Sequence[str]) -> MultiLabelScores:
    """Scores of several labels a sample.

    Args:
        expected: (N, C) True where a label holds.
        predicted: (N, C) True where the model answers the label.
        names: (C,) of the labels.

    Raises:
        InputError: there are no samples, or the shapes differ.
    """
    _check_same(expected, predicted)
    if expected.ndim != 2 or expected.shape[1] != len(names):
        raise InputError(f"the labels have shape {expected.shape} where {len(names)} labels are named; give (N, C)")
    right = (expected & predicted).sum(axis=0)
    classes = _class_scores(right, predicted.sum(axis=0), expected.sum(axis=0), names)
    return MultiLabelScores(
        exact_match=float((expected == predicted).all(axis=1).mean()),
        micro_f1=f1(float(right.sum()), float(predicted.sum()), float(expected.sum()))[2],
        macro_f1=_mean_f1(classes),
        weighted_f1=_weighted_f1(classes),
        classes=classes,
        num_samples=len(expected),
    )


def regression_scores(expected: Float64s, predicted: Float64s) -> RegressionScores:
    """Scores of numbers.

    Args:
        expected: (N,) true.
        predicted: (N,) answered.

    Raises:
        InputError: there are no samples, the lengths differ, or a number is not finite.
    """
    _check_same(expected, predicted)
    if not (np.isfinite(expected).all() and np.isfinite(predicted).all()):
        raise InputError("a true or predicted number is not finite; look at the model and the labels")
    expected, predicted = expected.astype(np.float64), predicted.astype(np.float64)
    errors = predicted - expected
    return RegressionScores(
        pearson=correlation(expected, predicted),
        spearman=correlation(ranks(expected), ranks(predicted)),
        mse=float(np.square(errors).mean()),
        mae=float(np.abs(errors).mean()),
        num_samples=len(expected),
    )


def classification_intervals(
    expected: Int64s,
    predicted: Int64s,
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of `classification_scores`; arguments as there and in `score_intervals`."""
    return score_intervals(
        lambda taken: classification_scores(expected[taken], predicted[taken], names).to_values(),
        len(expected),
        resamples=resamples,
        level=level,
        seed=seed,
    )


def multi_label_intervals(
    expected: Bools,
    predicted: Bools,
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of `multi_label_scores`; arguments as there and in `score_intervals`."""
    return score_intervals(
        lambda taken: multi_label_scores(expected[taken], predicted[taken], names).to_values(),
        len(expected),
        resamples=resamples,
        level=level,
        seed=seed,
    )


def regression_intervals(
    expected: Float64s, predicted: Float64s, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap intervals of `regression_scores`; arguments as there and in `score_intervals`."""
    return score_intervals(
        lambda taken: regression_scores(expected[taken], predicted[taken]).to_values(),
        len(expected),
        resamples=resamples,
        level=level,
        seed=seed,
    )


def correlation(first: Float64s, second: Float64s) -> float:
    """Pearson's correlation of two rows (N,) of numbers; NaN where either is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    first, second = first - first.mean(), second - second.mean()
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    return float(np.clip(first @ second, -1.0, 1.0))  # rounding may carry it past 1 by an ulp


def ranks(values: Float64s) -> Float64s:
    """(N,) the rank of each value from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]


def _check_same(expected: npt.NDArray[np.generic], predicted: npt.NDArray[np.generic]) -> None:
    if expected.shape != predicted.shape:
        raise InputError(f"{expected.shape} labels are compared with {predicted.shape} predictions; give one for each")
    if not len(expected):
        raise InputError("there are no samples to score; give at least 1")


def _class_scores(right: Int64s, predicted: Int64s, expected: Int64s, names: Sequence[str]) -> tuple[ClassScore, ...]:
    found = []
    for at, name in enumerate(names):
        if predicted[at] or expected[at]:
            precision, recall, score = f1(float(right[at]), float(predicted[at]), float(expected[at]))
            found.append(ClassScore(name=name, precision=precision, recall=recall, f1=score, support=int(expected[at])))
    return tuple(found)


def _mean_f1(classes: Sequence[ClassScore]) -> float:
    return sum(one.f1 for one in classes) / len(classes) if classes else 0.0


def _weighted_f1(classes: Sequence[ClassScore]) -> float:
    total = sum(one.support for one in classes)
    return sum(one.f1 * one.support for one in classes) / total if total else 0.0


def _matthews(confusion: Int64s) -> float:
    """0 where all samples are of one class, or are answered by one."""
    expected, predicted = confusion.sum(axis=1).astype(np.float64), confusion.sum(axis=0).astype(np.float64)
    total = expected.sum()
    covariance = confusion.trace() * total - expected @ predicted
    spread = (total**2 - expected @ expected) * (total**2 - predicted @ predicted)
    return float(covariance / math.sqrt(spread)) if spread > 0 else 0.0
