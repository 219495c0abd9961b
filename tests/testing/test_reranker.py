"""The suite of rerankers: shared letters pass, and each broken variant fails."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.predictions import Ranked
from lavra.testing.reranker import RerankerConformance
from tests.testing.suites import check


class ToyReranker:
    """The share of the query's letters that a text has."""

    def rerank(self, query, texts):
        asked = set(query.lower())
        scores = [len(asked & set(text.lower())) / len(asked) for text in texts]
        return sorted(
            (Ranked(index=index, score=score) for index, score in enumerate(scores)),
            key=lambda one: (-one.score, one.index),
        )


class WithReranker(RerankerConformance):
    def __init__(self, change=lambda ranked: ranked):
        self.reranker = ToyReranker()
        right = self.reranker.rerank
        self.reranker.rerank = lambda query, texts: change(right(query, texts))

    def make_reranker(self):
        return self.reranker


class NoReranker(WithReranker):
    def make_reranker(self):
        return sorted


def test_rerankers():
    def scaled(factor):
        return lambda ranked: [replace(one, score=one.score * factor(ranked)) for one in ranked]

    broken = {
        "no protocol": (NoReranker, {"satisfies_the_protocol"}),
        "too high": (lambda: WithReranker(scaled(lambda _: 3)), {"every_text_has_one_score_from_0_to_1"}),
        "one lost": (lambda: WithReranker(lambda ranked: ranked[1:]), {"every_text_has_one_score_from_0_to_1"}),
        "worst first": (lambda: WithReranker(lambda ranked: ranked[::-1]), {"the_best_stand_first"}),
        "invented": (
            lambda: WithReranker(lambda ranked: ranked or [Ranked(index=0, score=0.0)]),
            {"nothing_in_nothing_out"},
        ),
        "shared out": (
            lambda: WithReranker(scaled(lambda ranked: 1 / len(ranked))),
            {"company_and_order_do_not_matter"},
        ),
        "last first": (
            lambda: WithReranker(lambda ranked: sorted(ranked, key=lambda one: (-one.score, -one.index))),
            {"equal_texts_stand_in_the_order_they_were_given"},
        ),
    }
    check(WithReranker(), broken)
