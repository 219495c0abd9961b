"""A study on disk: drafts, undo, refusals, and each annotator's own items."""

from __future__ import annotations

import sqlite3

import pytest

from lavra.base.errors import InputError
from lavra.evaluation.human.items import ItemKind, Judgement
from lavra.evaluation.human.store import StudyClosedError, StudyStore
from lavra.evaluation.human.tokens import new_token, token_hash
from lavra.evaluation.human.votes import Winner
from tests.evaluation.human.small_study import attentive, judge_all, new_store


@pytest.fixture
def study(tmp_path):
    store, tokens = new_store(tmp_path / "a.study")
    yield store, tokens
    store.close()


def first(store, annotator=1):
    return store.items[store.assignment(annotator, 1).item]


def said(store, **ratings):
    return Judgement(ratings=ratings or dict.fromkeys(store.config.scales, 3), done=True)


def test_a_draft_is_kept_and_counts_nowhere(study) -> None:
    store, _ = study
    item = first(store)
    store.save(1, item.number, Judgement(ratings={"fluency": 2}))
    assert store.judgement(1, item.number).ratings == {"fluency": 2}
    assert (store.places_done(1), store.given()) == ([], [])
    store.save(1, item.number, said(store))
    assert (store.places_done(1), store.places_done(2)) == ([1], [])
    assert [one.annotator for one in store.given()] == ["annotator-1"]


def test_it_is_there_after_the_file_is_opened_again(study) -> None:
    store, tokens = study
    judge_all(store, 1)
    again = StudyStore(store.path)
    assert again.given() == store.given()
    assert again.config == store.config
    assert again.items == store.items
    assert again.holder(tokens[2]) == 2
    again.close()


def test_undo_takes_back_what_was_given_last_and_keeps_it_as_a_draft(study) -> None:
    store, _ = study
    for place in (2, 1, 3):
        store.save(1, store.assignment(1, place).item, said(store))
    judge_all(store, 2)  # another annotator's are not touched
    assert [store.undo(1) for _ in range(4)] == [3, 1, 2, None]
    assert store.places_done(1) == []
    assert store.judgement(1, store.assignment(1, 3).item).ratings["fluency"] == 3
    assert len(store.places_done(2)) == store.num_assigned(2)


def test_a_token_opens_its_annotators_items_alone_and_is_not_in_the_file(study) -> None:
    store, tokens = study
    assert {number: store.holder(token) for number, token in tokens.items()} == {1: 1, 2: 2}
    assert [store.holder(wrong) for wrong in ("", tokens[1][:-1], tokens[1] + "x", new_token(), "\ud800")] == [None] * 5
    assert all(token.encode() not in store.path.read_bytes() for token in tokens.values())
    store.set_token_hashes({1: token_hash("other")})
    assert (store.holder(tokens[1]), store.holder("other"), store.holder(tokens[2])) == (None, 1, 2)


def test_judgements_that_do_not_fit_an_item_are_refused(study) -> None:
    store, _ = study
    rating = first(store)
    pair = next(item for item in store.items.values() if item.kind is ItemKind.PAIR)
    for item, judgement, message in [
        (rating, Judgement(ratings={"fluency": 3}, done=True), "coherence, factuality is not rated"),
        (rating, said(store, fluency=6), "fluency is 6"),
        (rating, said(store, beauty=3), "'beauty' is not asked"),
        (rating, Judgement(winner=Winner.TIE), "there is one answer"),
        (pair, Judgement(done=True), "no winner is given"),
        (pair, Judgement(ratings={"fluency": 3}), "asked: no scale"),
    ]:
        with pytest.raises(InputError, match=message):
            store.save(1, item.number, judgement)
    store.save(1, pair.number, Judgement(skipped=True, done=True))  # a skipped item has no judgement


def test_an_item_of_another_annotator_is_refused(tmp_path) -> None:
    store, _ = new_store(tmp_path / "a.study", per_item=1, checks=0, pairwise=False)
    with pytest.raises(InputError, match="not among those of annotator 2"):
        store.save(2, first(store, 1).number, said(store))
    store.close()


def test_a_closed_study_takes_nothing(study) -> None:
    store, _ = study
    store.save(1, first(store).number, said(store))
    store.set_closed(True)
    with pytest.raises(StudyClosedError):
        store.save(1, first(store).number, said(store))
    with pytest.raises(StudyClosedError):
        store.undo(1)
    store.set_closed(False)
    assert store.undo(1) == 1


def test_other_files_than_a_study_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no study"):
        StudyStore(tmp_path / "none")
    (tmp_path / "text").write_text("hello " * 500)
    with pytest.raises(InputError, match="is not a study"):
        StudyStore(tmp_path / "text")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (a)").connection.commit()
    with pytest.raises(InputError, match="is not a study"):
        StudyStore(tmp_path / "other.db")
    store, _ = new_store(tmp_path / "a.study")
    store.close()
    with pytest.raises(InputError, match="exists"):
        new_store(tmp_path / "a.study")
    with sqlite3.connect(tmp_path / "a.study") as connection:
        connection.execute("UPDATE study SET value = '99' WHERE name = 'format'")
    with pytest.raises(InputError, match="format 99"):
        StudyStore(tmp_path / "a.study")


def test_attention_checks_can_be_passed_by_reading(study) -> None:
    store, _ = study
    checks = [item for item in store.items.values() if item.is_check]
    assert {item.kind for item in checks} == set(ItemKind)
    for item in checks:
        if item.kind is ItemKind.RATING:
            (step,) = set(item.expected.values())
            assert f"choose {step} for every question" in item.answer_a
        else:
            wanted = item.answer_a if item.expected_winner is Winner.MODEL_A else item.answer_b
            assert wanted == "Please choose this text."
        assert attentive(item).done
