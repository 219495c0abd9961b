"""Scores of classifiers against scikit-learn and scipy."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn import metrics

from lavra.base.errors import InputError
from lavra.metrics.classification import (
    classification_intervals,
    classification_scores,
    macro_f1,
    multi_label_intervals,
    multi_label_scores,
    ranks,
    regression_intervals,
    regression_scores,
)
from lavra.metrics.intervals import Interval, share_interval

NAMES = ("a", "b", "c", "d")
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@settings(max_examples=40)  # scikit-learn takes its time
@given(CLASSES)
def test_one_class_a_sample(pairs: list[tuple[int, int]]) -> None:
    expected, predicted = np.array(pairs, dtype=np.int64).T
    found = classification_scores(expected, predicted, NAMES)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(expected, predicted))
    for average, value in (("macro", found.macro_f1), ("weighted", found.weighted_f1), ("micro", found.micro_f1)):
        assert value == pytest.approx(metrics.f1_score(expected, predicted, average=average, zero_division=0)), average
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single class, whose correlation is 0 to both
        matthews = metrics.matthews_corrcoef(expected, predicted)
    assert found.matthews == pytest.approx(matthews, abs=1e-12)
    assert (found.confusion == metrics.confusion_matrix(expected, predicted, labels=range(4))).all()
    theirs = metrics.precision_recall_fscore_support(expected, predicted, zero_division=0)
    ours = [(one.precision, one.recall, one.f1, one.support) for one in found.classes]
    assert np.allclose(ours, np.array(theirs).T)
    assert [one.name for one in found.classes] == [NAMES[at] for at in sorted({*expected, *predicted})]


@settings(max_examples=40)
@given(arrays.arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 12), st.integers(1, 4))))
def test_several_labels_a_sample(both: np.ndarray) -> None:
    expected, predicted = both
    names = NAMES[: expected.shape[1]]
    found = multi_label_scores(expected, predicted, names)
    seen = (expected | predicted).any(axis=0)  # scikit-learn counts labels that are nowhere as 0; we do not
    if seen.any():
        for average, value in (("macro", found.macro_f1), ("weighted", found.weighted_f1), ("micro", found.micro_f1)):
            theirs = metrics.f1_score(expected[:, seen], predicted[:, seen], average=average, zero_division=0)
            if seen.sum() == 1:  # one column is taken for one class a sample, not for a label
                theirs = metrics.f1_score(expected[:, seen][:, 0], predicted[:, seen][:, 0], zero_division=0)
            assert value == pytest.approx(theirs), average
    else:
        assert (found.macro_f1, found.micro_f1, found.exact_match) == (0.0, 0.0, 1.0)
    assert found.exact_match == pytest.approx(
        sum(a.tolist() == b.tolist() for a, b in zip(expected, predicted, strict=True)) / len(expected)
    )


NUMBERS = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=20)


@given(NUMBERS)
def test_numbers(pairs: list[tuple[float, float]]) -> None:
    expected, predicted = np.round(np.array(pairs).T, 1)  # rounded, so that ties occur
    found = regression_scores(expected, predicted)
    assert found.mse == pytest.approx(metrics.mean_squared_error(expected, predicted))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(expected, predicted))
    assert ranks(expected).tolist() == stats.rankdata(expected).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where a side is constant, and gives NaN as we do
        pearson, spearman = stats.pearsonr(expected, predicted)[0], stats.spearmanr(expected, predicted)[0]
    assert found.pearson == pytest.approx(pearson, abs=1e-9, nan_ok=True)
    assert found.spearman == pytest.approx(spearman, abs=1e-9, nan_ok=True)


@given(CLASSES, st.permutations(range(4)))
def test_scores_do_not_care_how_classes_are_numbered(pairs: list[tuple[int, int]], order: list[int]) -> None:
    expected, predicted = np.array(pairs, dtype=np.int64).T
    before = classification_scores(expected, predicted, NAMES).to_values()
    after = classification_scores(np.array(order)[expected], np.array(order)[predicted], NAMES).to_values()
    assert after == pytest.approx(before, abs=1e-12)


def test_right_and_constant_answers() -> None:
    truth = np.array([0, 1, 2, 1])
    assert classification_scores(truth, truth, NAMES).to_values() == dict.fromkeys(
        ["accuracy", "macro_f1", "weighted_f1", "matthews"], 1.0
    )
    assert classification_scores(truth, np.ones(4, dtype=np.int64), NAMES).matthews == 0.0
    assert math.isnan(regression_scores(np.ones(3), np.arange(3.0)).pearson)


def test_intervals_hold_the_score_and_the_exact_one_agrees() -> None:
    draw = np.random.default_rng(0)
    expected = draw.integers(0, 4, 300)
    predicted = np.where(draw.random(300) < 0.8, expected, draw.integers(0, 4, 300))
    found = classification_intervals(expected, predicted, NAMES, resamples=400)
    values = classification_scores(expected, predicted, NAMES).to_values()
    assert all(found[name].low < value < found[name].high for name, value in values.items())
    exact = share_interval(int((expected == predicted).sum()), 300)
    assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx((exact.low, exact.high), abs=0.015)

    both = draw.random((2, 100, 4)) < 0.5
    several: dict[str, Interval] = multi_label_intervals(both[0], both[1], NAMES, resamples=50)
    assert set(several) == set(multi_label_scores(both[0], both[1], NAMES).to_values())
    noisy = expected + draw.normal(size=300)
    assert regression_intervals(expected.astype(float), noisy, resamples=100)["pearson"].low > 0.5


def test_unscorable_input_is_refused() -> None:
    one, two, none = np.array([0]), np.array([0, 1]), np.array([], dtype=np.int64)
    with pytest.raises(InputError, match="give one for each"):
        classification_scores(one, two, NAMES)
    with pytest.raises(InputError, match="no samples"):
        classification_scores(none, none, NAMES)
    with pytest.raises(InputError, match="a predicted class is 4; there are 4 classes"):
        classification_scores(one, np.array([4]), NAMES)
    with pytest.raises(InputError, match="not finite"):
        regression_scores(one.astype(float), np.array([math.nan]))
    with pytest.raises(InputError, match=r"give \(N, C\)"):
        multi_label_scores(np.ones((2, 3), dtype=bool), np.ones((2, 3), dtype=bool), NAMES)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=30))
def test_macro_f1_is_sklearns(pairs) -> None:
    truth, answers = [one for one, _ in pairs], [other for _, other in pairs]
    named = ["none" if answer is None else answer for answer in answers]  # a class that is not averaged over
    expected = metrics.f1_score(truth, named, labels=list("abc"), average="macro", zero_division=0.0)
    assert macro_f1(truth, answers, list("abc")) == pytest.approx(expected)
