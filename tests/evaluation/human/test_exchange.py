"""CSV and JSON lines in both directions, and every bad row named with its line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.evaluation.human.exchange import read_given, write_ratings
from lavra.evaluation.human.items import ItemKind, Judgement
from lavra.evaluation.human.results import counted, votes_of
from lavra.evaluation.human.rows import read_rows, write_rows
from lavra.evaluation.human.votes import Winner, read_votes, write_votes
from tests.evaluation.human.small_study import judge_all, new_store

COMMENTS = iter(["", "=1+1", "'=quoted", "two\nlines, and a comma", "- a dash", 'a "quote"', "@x", "ação"] * 9)


def varied(item, scales=(), **_):
    step = 1 + item.number % 5
    if item.kind is ItemKind.PAIR:
        return Judgement(winner=list(Winner)[item.number % 3], comment=next(COMMENTS), seconds=1.5, done=True)
    ratings = dict.fromkeys(scales, step) | {"factuality": None if step == 2 else step}
    return Judgement(ratings=ratings, comment=next(COMMENTS), seconds=2.5, done=True)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_exported_judgements_import_the_same(tmp_path, ending) -> None:
    store, _ = new_store(tmp_path / "a.study")
    for annotator in (1, 2):
        judge_all(store, annotator, said=varied)
    ours = counted(store.given())
    ratings, votes = tmp_path / f"r.{ending}", tmp_path / f"v.{ending}"
    assert write_ratings(ratings, ours, store.config.scales) == 16
    write_votes(votes, votes_of(ours))
    empty, _ = new_store(tmp_path / "b.study")
    for path in (ratings, votes):
        empty.bring_in(read_given(path, empty))

    def plain(store):
        """Times of votes are not exported; the rest must be equal."""
        found = counted(store.given())
        return sorted(
            (one.annotator, one.item.number, one.swapped, str(replace(one.judgement, seconds=0.0))) for one in found
        )

    assert plain(empty) == plain(store)
    with pytest.raises(InputError, match=r"'annotator-1' has judged question .* already"):
        empty.bring_in(read_given(ratings, empty))
    store.close()
    empty.close()


def test_one_bad_row_keeps_all_out(tmp_path) -> None:
    store, _ = new_store(tmp_path / "a.study")
    item = next(item for item in store.items.values() if not item.is_check)
    path = tmp_path / "r.csv"
    path.write_text(
        "judge,question_id,model,fluency,coherence,factuality\n"
        f"new,{item.question_id},{item.model_a},1,2,3\nnew,{item.question_id},{item.model_a},1,2,3\n"
    )
    with pytest.raises(InputError, match=r"r.csv:3: 'new' judges this at .*r.csv:2 already"):
        read_given(path, store)
    good = path.read_text().rpartition("new")[0]
    path.write_text(good)
    (one,) = read_given(path, store)
    with pytest.raises(InputError, match="has judged"):
        store.bring_in([one, one])
    assert (store.given(), list(store.annotators().values())) == ([], ["annotator-1", "annotator-2"])
    store.bring_in([one])
    assert list(store.annotators().values()) == ["annotator-1", "annotator-2", "new"]
    assert store.given()[0].judgement.ratings == {"fluency": 1, "coherence": 2, "factuality": 3}
    store.close()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question_id": "q1", "model": "big"}, "'judge' is missing"),
        ({"judge": "x", "question_id": "q9", "model": "big"}, "no question_id 'q9'"),
        ({"judge": "x", "question_id": "q1", "model": "huge"}, "no rating of huge"),
        (
            {"judge": "x", "question_id": "q1", "model": "big", "fluency": 7, "coherence": 1, "factuality": 1},
            "fluency is 7",
        ),
        ({"judge": "x", "question_id": "q1", "model": "big", "fluency": "good"}, "fluency is 'good'; write 1 to 5"),
        ({"judge": "x", "question_id": "q1", "model": "big", "fluency": 2.5}, "fluency is 2.5; write 1 to 5"),
        ({"judge": "x", "question_id": "q1", "model": "big", "fluency": 2}, "coherence, factuality is not rated"),
        ({"judge": "x", "question_id": "q1", "model_a": "big", "model_b": "small", "winner": "big"}, "winner is 'big'"),
        (
            {"judge": "x", "question_id": "q1", "model_a": "big", "model_b": "big", "winner": "tie"},
            "between two models",
        ),
        (
            {"judge": "x", "question_id": "q1", "model_a": "big", "model_b": "small", "winner": "tie", "seconds": -1},
            "seconds is -1",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, row, message) -> None:
    store, _ = new_store(tmp_path / "a.study")
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=rf"r.jsonl:1: .*{message}"):
        read_given(path, store)
    store.close()


def test_votes_with_the_models_the_other_way_round_are_understood(tmp_path) -> None:
    store, _ = new_store(tmp_path / "a.study")
    path = tmp_path / "v.jsonl"
    row = {"judge": "x", "question_id": "q1", "model_a": "small", "model_b": "big", "winner": "model_a"}
    path.write_text(json.dumps({**row, "shown_first": "model_a"}) + "\n")
    (one,) = read_given(path, store)
    assert (one.item.model_a, one.judgement.winner, one.swapped) == ("big", Winner.MODEL_B, True)
    store.close()


def test_mt_benchs_own_votes_are_read(tmp_path) -> None:
    path = tmp_path / "gpt-4_pair.jsonl"
    row = {"question_id": 81, "model_a": "alpaca-13b", "model_b": "gpt-3.5-turbo", "winner": "tie (bothbad)",
           "judge": ["author_2", "human"], "conversation_a": [], "turn": 1}  # fmt: skip
    path.write_text(json.dumps(row) + "\n")
    (vote,) = read_votes(path)
    assert (vote.question_id, vote.judge, vote.winner) == ("81", "author_2", Winner.TIE)


@settings(max_examples=40)
@given(texts=st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n")), min_size=1, max_size=4))
def test_any_text_comes_back_from_a_csv_file_and_none_is_a_formula(tmp_path_factory, texts) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    rows = [
        {"n": number, "text": f"{lead}{text}"} for number, (lead, text) in enumerate(zip("='-@", texts, strict=False))
    ]
    write_rows(path, ("n", "text"), rows)
    with path.open(newline="", encoding="utf-8") as file:
        raw = [row["text"] for row in csv.DictReader(file)]
    assert not [text for text in raw if text[:1] in ("=", "+", "-", "@")]
    assert [row.values["text"] for row in read_rows(path)] == [row["text"] for row in rows]


def test_an_unknown_ending_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"\.jsonl or \.csv"):
        write_rows(tmp_path / "a.xlsx", ("a",), [])
