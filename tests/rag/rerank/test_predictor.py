"""The reranker over a predictor: the port's suite, windows, and refusals."""

from __future__ import annotations

import logging

import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.predictions import Prediction, Ranked
from lavra.rag.rerank.predictor import PredictorReranker, windows
from lavra.testing.reranker import RerankerConformance


class ToyPredictor:
    """A reranking head: the share of a text's words that are in the query; it keeps its requests."""

    task, labels = "rerank", ()

    def __init__(self, warnings=()):
        self.asked, self.warnings = [], warnings

    def predict(self, requests):
        return [self.answer(one) for one in requests]

    def answer(self, request):
        self.asked.append(request)
        words = set(request.query.lower().split())
        scores = [sum(word in words for word in text.lower().split()) / len(text.split()) for text in request.texts]
        ranked = tuple(Ranked(index=index, score=score) for index, score in enumerate(scores))
        return Prediction(value=ranked, num_tokens=1, warnings=self.warnings)


class TestWhole(RerankerConformance):
    def make_reranker(self):
        return PredictorReranker(ToyPredictor())


class TestInWindows(RerankerConformance):
    def make_reranker(self):
        return PredictorReranker(ToyPredictor(), window=8)


@pytest.mark.parametrize("words", [1, 7, 8, 9, 12, 13, 40])
def test_windows_hold_every_word_and_no_more_than_allowed(words):
    text = "  ".join(str(number) for number in range(words))
    found = windows(text, 8)
    assert all(part in text for part in found)
    assert all(len(part.split()) <= 8 for part in found)
    assert {word for part in found for word in part.split()} == set(text.split())
    assert len(found) == len(set(found)) == 1 + max(0, -(-(words - 8) // 4))


def test_the_best_window_counts():
    text = "filler " * 20 + "lava cools" + " filler" * 20
    whole, parts = PredictorReranker(ToyPredictor()), PredictorReranker(ToyPredictor(), window=8)
    assert whole.rerank("lava cools", [text])[0].score == pytest.approx(2 / 42)
    assert parts.rerank("lava cools", ["other words", text]) == [
        Ranked(index=1, score=2 / 8),
        Ranked(index=0, score=0.0),
    ]


def test_cut_texts_are_allowed_with_one_warning(caplog):
    predictor = ToyPredictor(warnings=("document 0 was cut",))
    reranker = PredictorReranker(predictor)
    with caplog.at_level(logging.WARNING):
        reranker.rerank("a", ["b"])
        reranker.rerank("a", ["c"])
    assert [one.truncate for one in predictor.asked] == [True, True]
    assert [record.getMessage() for record in caplog.records] == ["reranking: document 0 was cut (logged once)"]


def test_another_head_short_windows_and_blank_queries_are_refused():
    other = ToyPredictor()
    other.task = "classify"
    with pytest.raises(InputError, match=r"made for classify.*--task rerank"):
        PredictorReranker(other)
    with pytest.raises(ConfigError, match="window is 3 words"):
        PredictorReranker(ToyPredictor(), window=3)
    with pytest.raises(InputError, match="query is blank"):
        PredictorReranker(ToyPredictor()).rerank(" ", ["a"])
