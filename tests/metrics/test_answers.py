"""Answers: against a plain rewrite of the official SQuAD scripts, and values computed by hand."""

from __future__ import annotations

import re
import string
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.answers import (
    SquadVersion,
    answer_f1,
    answer_intervals,
    answer_scores,
    best_threshold,
    exact_match,
    normal_answer,
)


def naive_normal(text: str) -> str:
    """Lower case, without ASCII punctuation and without the words a, an, the; single spaces."""
    kept = "".join(one for one in text.lower() if one not in string.punctuation)
    return " ".join(word for word in re.split(r"\b(?:a|an|the)\b|\s+", kept) if word)


def naive_f1(predicted: str, truth: str, *, empty_agrees: bool) -> float:
    found, wanted = naive_normal(predicted).split(), naive_normal(truth).split()
    if not found and not wanted:
        return float(empty_agrees)
    rest = list(wanted)
    shared = 0
    for word in found:
        if word in rest:
            rest.remove(word)
            shared += 1
    return 2 * shared / (len(found) + len(wanted))


WORDS = st.lists(
    st.sampled_from(["The", "a", "an", "cat", "cats", "Sat", "on,", "mat.", "", "-", "Éa", "don't", "a-an"]), max_size=5
)
TEXT = WORDS.map(" ".join)


@given(TEXT, TEXT)
def test_one_answer_against_one(predicted: str, truth: str) -> None:
    assert normal_answer(predicted) == naive_normal(predicted)
    assert exact_match(predicted, truth) == (naive_normal(predicted) == naive_normal(truth))
    assert answer_f1(predicted, truth) == pytest.approx(naive_f1(predicted, truth, empty_agrees=True))
    version = SquadVersion.V1
    assert answer_f1(predicted, truth, version=version) == pytest.approx(naive_f1(predicted, truth, empty_agrees=False))


@pytest.mark.parametrize(
    ("predicted", "truth", "exact", "f1"),
    [
        ("the Denver Broncos!", "Denver Broncos", 1.0, 1.0),
        ("Broncos", "Denver Broncos", 0.0, 2 / 3),
        ("in the year 1999", "1999", 0.0, 0.5),
        ("", "Denver", 0.0, 0.0),
        ("the", "", 1.0, 1.0),
    ],
)
def test_known_values_of_version_2(predicted: str, truth: str, exact: float, f1: float) -> None:
    assert (exact_match(predicted, truth), answer_f1(predicted, truth)) == pytest.approx((exact, f1))


QUESTIONS = st.lists(
    st.tuples(TEXT, st.lists(TEXT, max_size=3), st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0])), min_size=1, max_size=8
)


@given(QUESTIONS)
def test_a_whole_set_as_version_2_scores_it(questions: list[tuple[str, list[str], float]]) -> None:
    predicted, given_answers, doubts = (list(column) for column in zip(*questions, strict=True))
    exact, f1s = [], []
    for one, answers in zip(predicted, given_answers, strict=True):
        wanted = [answer for answer in answers if naive_normal(answer)] or [""]
        exact.append(max(float(naive_normal(one) == naive_normal(answer)) for answer in wanted))
        f1s.append(max(naive_f1(one, answer, empty_agrees=True) for answer in wanted))
    found = answer_scores(predicted, given_answers)
    assert found.exact_by_question.tolist() == exact
    assert found.f1_by_question.tolist() == pytest.approx(f1s)
    has = [bool(answers) for answers in given_answers]
    values = found.to_values()
    if 0 < sum(has) < len(has):
        mask = np.array(has)
        assert values["has_answer_f1"] == pytest.approx(np.array(f1s)[mask].mean())
        assert values["no_answer_exact_match"] == pytest.approx(np.array(exact)[~mask].mean())
    else:
        assert set(values) == {"exact_match", "f1"}

    # Every threshold there can be, tried.
    def reached(threshold: float) -> float:
        rows = zip(f1s, doubts, has, strict=True)
        return sum(one if doubt <= threshold else float(not it_has) for one, doubt, it_has in rows) / len(has)

    best = best_threshold(np.array(f1s), np.array(doubts), np.array(has))
    assert best.score == pytest.approx(max(map(reached, [-np.inf, *doubts])))
    assert reached(best.doubt) == pytest.approx(best.score)


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=6))
def test_a_whole_set_as_version_1_scores_it(questions: list[tuple[str, list[str]]]) -> None:
    found = answer_scores([one for one, _ in questions], [answers for _, answers in questions], version=SquadVersion.V1)

    def mean(score: Callable[[str, str], float]) -> float:
        return sum(max(score(one, truth) for truth in answers) for one, answers in questions) / len(questions)

    assert found.exact_match == pytest.approx(mean(lambda one, truth: naive_normal(one) == naive_normal(truth)))
    assert found.f1 == pytest.approx(mean(lambda one, truth: naive_f1(one, truth, empty_agrees=False)))


def test_portuguese_articles_and_quotation_marks_do_not_count() -> None:
    assert normal_answer("As «disciplinas» — do curso", "pt") == "disciplinas do curso"
    assert exact_match("o requisito", "Os requisito.", "pt") == 1.0
    assert exact_match("o requisito", "requisito") == 0.0  # English articles only
    assert exact_match("the cat", "cat", "pt") == 0.0
    assert normal_answer("La «casa» de las flores", "es") == "casa de flores"
    with pytest.raises(ConfigError, match="language is 'ptt', whose articles are not known; did you mean 'pt'"):
        normal_answer("x", "ptt")


def test_questions_are_drawn_again() -> None:
    scores = answer_scores(["x"] * 50 + ["y"] * 50, [["x"]] * 100)
    found = answer_intervals(scores, resamples=300)
    assert found["exact_match"].low < 0.5 < found["exact_match"].high
    assert found["exact_match"] == found["f1"]


def test_unscorable_input_is_refused() -> None:
    with pytest.raises(InputError, match="2 questions have 1 predictions"):
        answer_scores(["a"], [["a"], ["b"]])
    with pytest.raises(InputError, match="no questions"):
        answer_scores([], [])
    with pytest.raises(InputError, match="question 1 has no answer; score it as SQuAD 2"):
        answer_scores(["a"], [[]], version=SquadVersion.V1)
    with pytest.raises(InputError, match="1 scores have 2 doubts"):
        best_threshold(np.ones(1), np.ones(2), np.ones(1, dtype=np.bool_))
