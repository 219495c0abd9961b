"""The place of the answer among the results: against ir-measures, and places by hand."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.retrieval import Chunk, Passage
from lavra.rag.questions.given import AnswerPlace, JudgedQuestion
from lavra.rag.questions.question import QuestionKind
from lavra.rag.tuning.hits import Hit, covers, first_hit, gain_by_rank, gain_by_text, hit_scores


def chunk(start, end, document="d"):
    return Chunk(id=start, document=document, text="x" * (end - start), start=start, end=end, line=1)


def question(*places):
    return JudgedQuestion(
        question="?",
        places=tuple(AnswerPlace(document="d", start=start, end=end) for start, end in places),
        kind=QuestionKind.GIVEN,
    )


@pytest.mark.parametrize(
    ("start", "end", "place", "has"),
    [
        (0, 100, (10, 20), True),
        (0, 15, (10, 20), True),  # half of the place
        (0, 14, (10, 20), False),
        (15, 100, (10, 20), True),
        (100, 200, (0, 1000), True),  # a part of a document that answers
        (0, 10, (10, 20), False),
    ],
)
def test_a_chunk_has_a_place_by_half_of_the_shorter_one(start, end, place, has):
    assert covers(chunk(start, end), AnswerPlace(document="d", start=place[0], end=place[1])) is has
    assert not covers(chunk(start, end, "other"), AnswerPlace(document="d", start=place[0], end=place[1]))


@given(st.integers(1, 300), st.integers(2, 40), st.integers(0, 50))
def test_a_place_is_always_in_some_chunk_where_chunks_divide_the_text_and_are_as_long(size, count, shift):
    place = AnswerPlace(document="d", start=shift, end=min(shift + size, size * count))
    assert any(covers(chunk(at, at + size), place) for at in range(0, size * count, size)) or place.end <= place.start


def test_the_first_passage_counts_and_the_text_up_to_the_end_of_the_place():
    passages = [Passage(chunk=one, score=1.0) for one in (chunk(500, 800), chunk(0, 400), chunk(100, 300))]
    assert first_hit(passages, question((120, 150))) == Hit(rank=2, characters=300 + 150)
    assert first_hit(passages, question((120, 150), (600, 620))) == Hit(rank=1, characters=120)
    assert first_hit(passages, question((900, 950))) is None


def test_gain_by_text_is_ndcg_where_chunks_have_a_thousand_characters():
    for rank in range(1, 11):
        hit = Hit(rank=rank, characters=1000 * rank)
        assert gain_by_text(hit) == pytest.approx(gain_by_rank(hit)) == pytest.approx(1 / math.log2(rank + 1))
    assert gain_by_text(Hit(rank=1, characters=30)) == 1.0
    assert gain_by_text(Hit(rank=1, characters=10_001)) == gain_by_text(None) == gain_by_rank(None) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_ir_measures(seed):
    ir_measures = pytest.importorskip("ir_measures", reason="ir-measures has no wheel for Linux on ARM")
    draw = random.Random(seed)
    hits = [None if draw.random() < 0.2 else Hit(rank=draw.randrange(1, 30), characters=1) for _ in range(40)]
    found = hit_scores(hits).to_values()
    judged = [ir_measures.Qrel(str(number), "right", 1) for number in range(len(hits))]
    run = [
        ir_measures.ScoredDoc(str(number), "right" if hit and rank == hit.rank else f"{rank}", 100.0 - rank)
        for number, hit in enumerate(hits)
        for rank in range(1, 31)
    ]
    names = {"R@5": "recall@5", "R@10": "recall@10", "RR@10": "mrr@10", "nDCG@10": "ndcg@10"}
    measures = {ir_measures.parse_measure(theirs): name for theirs, name in names.items()}
    expected = ir_measures.calc_aggregate(list(measures), judged, run)
    for measure, name in measures.items():
        assert found[name] == pytest.approx(expected[measure], abs=1e-9)
    assert found["ndcg@10"] == pytest.approx(sum(map(gain_by_rank, hits)) / len(hits))
