"""The suite of retrievers: shared words pass, and each broken variant fails."""

from __future__ import annotations

import itertools
from dataclasses import replace

from lavra.base.errors import InputError
from lavra.base.retrieval import ACCESS, EVERYONE, Found, Operator, Passage
from lavra.testing.retriever import RetrieverConformance, chunks
from tests.testing.suites import check


class ToyRetriever:
    """The share of the question's words that a chunk has."""

    def __init__(self, limit=10_000):
        self.limit = limit

    def search(self, request):
        wanted = set(request.query.lower().split())
        if not wanted or request.k < 1 or len(request.query) > self.limit:
            raise InputError("ask something short")
        if any(condition.field != "year" for condition in request.where):
            raise InputError("no such field")
        allowed = [chunk for chunk in chunks() if self.meets(chunk, request) and self.reads(chunk, request)]
        passages = [
            Passage(chunk=chunk, score=len(wanted & set(chunk.text.lower().split())) / len(wanted)) for chunk in allowed
        ]
        passages.sort(key=lambda one: -one.score)
        return Found(passages=tuple(passages[: request.k]), warnings=() if allowed else ("nothing meets these",))

    def meets(self, chunk, request):
        compare = {Operator.AT_LEAST: int.__ge__, Operator.OVER: int.__gt__}
        return all(compare[one.operator](chunk.meta["year"], one.value) for one in request.where)

    def reads(self, chunk, request):
        groups = chunk.meta.get(ACCESS, (EVERYONE,))
        return request.groups is None or EVERYONE in groups or bool(request.groups & set(groups))


class WithRetriever(RetrieverConformance):
    def __init__(self, make=ToyRetriever, change=lambda found: found):
        self.retriever = make()
        right = self.retriever.search
        self.retriever.search = lambda request: change(right(request))

    def make_retriever(self):
        return self.retriever


class NoRetriever(WithRetriever):
    def make_retriever(self):
        return sorted


class ReadsAll(ToyRetriever):
    def reads(self, chunk, request):
        return True


class MeetsAll(ToyRetriever):
    def meets(self, chunk, request):
        return True


def test_retrievers():
    count = itertools.count()

    def passages(change):
        return lambda: WithRetriever(change=lambda found: replace(found, passages=tuple(change(found.passages))))

    def moved(one):
        return replace(one, chunk=replace(one.chunk, start=one.chunk.start + 1))

    broken = {
        "no protocol": (NoRetriever, {"satisfies_the_protocol"}),
        "nothing found": (passages(lambda found: ()), {"a_passage_is_found_by_its_own_words"}),
        "worst first": (passages(lambda found: found[::-1]), {"no_more_than_wanted_the_best_first"}),
        "too many": (passages(lambda found: found * 60), {"no_more_than_wanted_the_best_first", "no_chunk_twice"}),
        "moved": (passages(lambda found: map(moved, found)), {"a_passage_is_a_slice_of_its_document"}),
        "chance": (
            passages(lambda found: [replace(one, score=one.score - next(count)) for one in found]),
            {"the_same_question_finds_the_same"},
        ),
        "conditions ignored": (lambda: WithRetriever(MeetsAll), {"conditions_hold_for_every_passage"}),
        "nothing told": (
            lambda: WithRetriever(change=lambda found: replace(found, warnings=())),
            {"conditions_that_nothing_meets_are_told"},
        ),
        "groups ignored": (
            lambda: WithRetriever(ReadsAll),
            {"a_user_sees_the_documents_of_everyone_and_of_the_own_groups"},
        ),
        "any length": (lambda: WithRetriever(lambda: ToyRetriever(10**9)), {"impossible_searches_are_an_error"}),
    }
    check(WithRetriever(), broken)
