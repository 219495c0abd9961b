"""Results of a study, against scikit-learn, the krippendorff package and explicit sums."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict
from random import Random

import krippendorff
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.evaluation.human.agreement import agreement
from lavra.evaluation.human.items import ItemKind, Judgement
from lavra.evaluation.human.preferences import preference_pairs
from lavra.evaluation.human.results import failed_annotators, study_results, votes_of
from lavra.evaluation.human.votes import Vote, Winner
from tests.evaluation.human.small_study import attentive, judge_all, new_store

cells = st.one_of(st.none(), st.integers(1, 5))
tables = st.lists(st.lists(cells, min_size=6, max_size=6), min_size=2, max_size=4)


@pytest.mark.parametrize(("ordered", "level"), [(True, "ordinal"), (False, "nominal")])
@settings(max_examples=12)  # each has an interval of a thousand draws
@given(table=tables)
def test_agreement_is_that_of_the_peers(ordered, level, table) -> None:
    values = {(f"a{who}", at): cell for who, row in enumerate(table) for at, cell in enumerate(row) if cell is not None}
    found = agreement("x", values, ordered=ordered)
    units = [[row[at] for row in table if row[at] is not None] for at in range(6)]
    units = [unit for unit in units if len(unit) > 1]
    assert found.num_items == len(units)
    if len({value for unit in units for value in unit}) < 2:
        assert (found.alpha, found.interval) == (None, None)
        assert found.undefined
    else:
        ratings = np.array([[math.nan if cell is None else cell for cell in row] for row in table], dtype=float)
        theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement=level)
        assert found.alpha == pytest.approx(theirs, abs=1e-9)
    for one in found.kappas:
        first, second = (table[int(name[1:])] for name in (one.first, one.second))
        both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
        assert one.num_items == len(both)
        if len({value for pair in both for value in pair}) == 1:
            assert one.kappa is None
        else:
            weights = "quadratic" if ordered else None
            a, b = zip(*both, strict=True)
            theirs = sklearn.metrics.cohen_kappa_score(a, b, labels=[1, 2, 3, 4, 5], weights=weights)
            assert one.kappa == pytest.approx(theirs, abs=1e-9)


@pytest.fixture
def judged(tmp_path):
    """Three annotators: two who read, and one who answers at random."""
    store, _ = new_store(tmp_path / "a.study", annotators=3, scales=("fluency", "factuality"))
    draw = Random(5)
    rate = lambda item: 5 if item.model_a == "big" else 1 + int(item.question_id[1:]) % 3  # noqa: E731
    judge_all(store, 1, rate=rate)
    judge_all(store, 2, rate=lambda item: max(1, rate(item) - 1))

    def at_random(item, **_):
        if item.kind is ItemKind.PAIR:
            return Judgement(winner=draw.choice([one for one in Winner if one is not item.expected_winner]), done=True)
        return Judgement(ratings={"fluency": 3, "factuality": None}, done=True)

    judge_all(store, 3, said=at_random)
    yield store
    store.close()


def test_means_count_every_answer_once(judged) -> None:
    found = {(one.model, one.scale): one for one in study_results(judged).ratings}
    by_answer = {}
    for one in judged.given():
        step = one.judgement.ratings.get("fluency")
        if step is not None and one.item.model_a == "small":
            by_answer.setdefault(one.item.question_id, []).append(step)
    means = [sum(steps) / len(steps) for steps in by_answer.values()]
    small = found["small", "fluency"]
    assert small.mean == pytest.approx(sum(means) / len(means))
    assert small.interval.low <= small.mean <= small.interval.high
    assert (sum(small.steps), small.num_answers, small.cannot_tell) == (12, 4, 0)
    assert (sum(found["small", "factuality"].steps), found["small", "factuality"].cannot_tell) == (8, 4)
    assert found["big", "fluency"].mean > found["small", "fluency"].mean


def test_annotators_who_fail_a_check_are_named_and_count_until_left_out(judged) -> None:
    assert failed_annotators(judged.given()) == {"annotator-3"}
    with_all, without = study_results(judged), study_results(judged, exclude_failed=True)
    assert [one.failed_checks for one in with_all.annotators] == [0, 0, 2]
    assert [one.excluded for one in without.annotators] == [False, False, True]
    assert (with_all.num_votes, without.num_votes) == (12, 8)
    assert any("annotator-3 failed an attention check and count all the same" in one for one in with_all.warnings)
    assert any("annotator-3 failed an attention check and are left out" in one for one in without.warnings)
    assert without.agreement[0].alpha > with_all.agreement[0].alpha


def test_the_ranking_follows_the_votes(judged) -> None:
    results = study_results(judged, exclude_failed=True)
    assert [one.name for one in results.ranking.strengths] == ["big", "small"]
    assert results.ranking.strengths[0].wins == 8
    sides = results.first_shown
    assert (sides.wins, sides.decided) == (4, 8)  # balanced sides: the same model wins on either
    assert not sides.matters


def test_a_preference_for_a_side_is_seen(tmp_path) -> None:
    store, _ = new_store(tmp_path / "a.study", scales=("none",), checks=0, annotators=4)
    for annotator in range(1, 5):
        for place in range(1, store.num_assigned(annotator) + 1):
            at = store.assignment(annotator, place)
            winner = Winner.MODEL_B if at.swapped else Winner.MODEL_A
            store.save(annotator, at.item, Judgement(winner=winner, done=True))
    results = study_results(store)
    assert (results.first_shown.wins, results.first_shown.decided) == (16, 16)
    assert any("the answer shown first won 16 of 16" in one for one in results.warnings)
    assert [round(one.value, 6) for one in results.ranking.strengths] == [0, 0]
    store.close()


@pytest.mark.parametrize("who", [(), (1,), (1, 2)])
def test_nothing_is_nan_however_few_have_judged(tmp_path, who) -> None:
    store, _ = new_store(tmp_path / "a.study")
    for annotator in who:
        judge_all(store, annotator, said=attentive)  # all say the same, so that agreement has no value
    results = study_results(store)
    json.dumps(asdict(results), allow_nan=False)
    assert all(one.alpha is None and one.undefined for one in results.agreement)
    store.close()


def test_skipped_and_drafted_items_count_nowhere(tmp_path) -> None:
    store, _ = new_store(tmp_path / "a.study", checks=0)
    judge_all(store, 1, said=lambda item, **_: Judgement(skipped=True, done=True))
    judge_all(store, 2, said=lambda item, **_: Judgement(comment="later"))
    results = study_results(store)
    assert all(one.mean is None for one in results.ratings)
    assert (results.num_votes, results.annotators[0].skipped, results.annotators[1].done) == (0, 12, 0)
    store.close()


def test_pairs_for_alignment_are_the_majoritys() -> None:
    def vote(question, winner, judge):
        return Vote(
            question_id=question, model_a="a", model_b="b", winner=winner, judge=judge, prompt=f"P{question}",
            answer_a="A", answer_b="B",
        )  # fmt: skip

    outcomes = {"1": "aab", "2": "bbt", "3": "ab", "4": "ttt", "5": "b"}
    names = {"a": Winner.MODEL_A, "b": Winner.MODEL_B, "t": Winner.TIE}
    votes = [
        vote(question, names[one], str(at)) for question, all_of in outcomes.items() for at, one in enumerate(all_of)
    ]
    pairs, undecided = preference_pairs(votes)
    assert [(one.prompt, one.chosen, one.rejected, one.votes, one.votes_against, one.ties) for one in pairs] == [
        ("P1", "A", "B", 2, 1, 0),
        ("P2", "B", "A", 2, 0, 1),
        ("P5", "B", "A", 1, 0, 0),
    ]
    assert undecided == 2
    assert set(pairs[0].record()) >= {"prompt", "chosen", "rejected"}


def test_votes_name_the_answer_shown_first(judged) -> None:
    votes = votes_of(judged.given())
    sides = {one.annotator: set() for one in judged.given()}
    for vote in votes:
        if vote.model_a != vote.model_b:
            sides[vote.judge].add(vote.shown_first)
    assert set(itertools.chain(*sides.values())) == {"model_a", "model_b"}
