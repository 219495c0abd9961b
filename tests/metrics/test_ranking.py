"""Rankings against scikit-learn and explicit definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.ranking import (
    average_precision,
    ndcg_at,
    ranking_intervals,
    ranking_scores,
    recall_at,
    reciprocal_rank,
)

PASSAGES = tuple("abcdefgh")
GRADES = st.dictionaries(st.sampled_from(PASSAGES), st.integers(0, 3), min_size=1).filter(lambda g: any(g.values()))


@given(st.permutations(PASSAGES), GRADES, st.integers(1, 10))
def test_whole_rankings_are_scored_as_scikit_learn_does(ranked: list[str], grades: dict[str, int], cutoff: int) -> None:
    gains = np.array([[grades.get(one, 0) for one in ranked]])
    scores = np.array([[-float(at) for at in range(len(ranked))]])
    assert ndcg_at(ranked, grades, cutoff) == pytest.approx(metrics.ndcg_score(gains, scores, k=cutoff))
    assert average_precision(ranked, grades) == pytest.approx(metrics.average_precision_score(gains[0] > 0, scores[0]))


@given(st.lists(st.sampled_from(PASSAGES), unique=True), GRADES, st.integers(1, 10))
def test_cut_rankings_by_the_definitions(ranked: list[str], grades: dict[str, int], cutoff: int) -> None:
    fitting = [one for one, grade in grades.items() if grade]
    at = [ranked.index(one) + 1 for one in fitting if one in ranked]
    assert recall_at(ranked, grades, cutoff) == pytest.approx(sum(rank <= cutoff for rank in at) / len(fitting))
    assert reciprocal_rank(ranked, grades, cutoff) == pytest.approx(
        max((1 / rank for rank in at if rank <= cutoff), default=0)
    )
    precision = [sum(other <= rank for other in at) / rank for rank in at]
    assert average_precision(ranked, grades) == pytest.approx(sum(precision) / len(fitting))
    gain = sum(grades.get(one, 0) / math.log2(rank + 1) for rank, one in enumerate(ranked, 1) if rank <= cutoff)
    best = sum(
        grade / math.log2(rank + 1) for rank, grade in enumerate(sorted(grades.values())[::-1], 1) if rank <= cutoff
    )
    assert ndcg_at(ranked, grades, cutoff) == pytest.approx(gain / best)


@given(st.permutations(PASSAGES), GRADES, st.integers(0, 6))
def test_moving_a_better_passage_up_never_hurts(ranked: list[str], grades: dict[str, int], at: int) -> None:
    assume(grades.get(ranked[at + 1], 0) > grades.get(ranked[at], 0))
    better = [*ranked[:at], ranked[at + 1], ranked[at], *ranked[at + 2 :]]
    before = ranking_scores({"q": ranked}, {"q": grades}, cutoffs=(1, 3, 8)).to_values()
    after = ranking_scores({"q": better}, {"q": grades}, cutoffs=(1, 3, 8)).to_values()
    assert all(after[name] >= before[name] - 1e-12 for name in before)
    assert all(0.0 <= value <= 1.0 + 1e-12 for value in after.values())


def test_queries_are_averaged_and_those_nothing_fits_are_counted() -> None:
    ranked = {"1": ["a", "x"], "2": ["x", "y", "a"], "3": ["a"]}
    judgements = {"1": {"a": 2.0}, "2": {"a": 1.0, "x": 0.0}, "3": {"a": 0.0}}
    found = ranking_scores(ranked, judgements, cutoffs=(1, 3))
    assert (found.num_queries, found.num_unanswerable, found.num_unjudged) == (2, 1, 2)
    assert found.to_values() == pytest.approx(
        {
            "map": (1 + 1 / 3) / 2,
            "recall@1": 0.5,
            "mrr@1": 0.5,
            "ndcg@1": 0.5,
            "recall@3": 1.0,
            "mrr@3": (1 + 1 / 3) / 2,
            "ndcg@3": 0.75,
        }
    )
    interval = ranking_intervals(found, resamples=50)["mrr@1"]
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_unscorable_input_is_refused() -> None:
    with pytest.raises(InputError, match="query '2' has no ranking"):
        ranking_scores({"1": []}, {"1": {"a": 1}, "2": {"a": 1}})
    with pytest.raises(InputError, match="query '2' has no judgements"):
        ranking_scores({"1": [], "2": []}, {"1": {"a": 1}})
    with pytest.raises(InputError, match="ranks 'a' twice"):
        ranking_scores({"1": ["a", "a"]}, {"1": {"a": 1}})
    with pytest.raises(InputError, match="grade below 0"):
        ranking_scores({"1": ["a"]}, {"1": {"a": -1}})
    with pytest.raises(InputError, match="nothing fits any query"):
        ranking_scores({"1": ["a"]}, {"1": {"a": 0}})
    with pytest.raises(ConfigError, match="cutoffs"):
        ranking_scores({"1": ["a"]}, {"1": {"a": 1}}, cutoffs=(0,))
