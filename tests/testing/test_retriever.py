"""The suite of retrievers: counting words passes, and each way of breaking it fails."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.retrieval import Found
from lavra.rag.chunk_table import MemoryChunks
from lavra.testing.retriever import RetrieverConformance
from tests.server.search.toy_index import WordCounts
from tests.testing.suites import check


class WithRetriever(RetrieverConformance):
    def __init__(self, change=lambda found: found, ask=lambda request: request):
        self.change, self.ask = change, ask

    def make_retriever(self, chunks):
        retriever = WordCounts(MemoryChunks(chunks, {one.document: one.text for one in chunks}))
        right = retriever.search
        retriever.search = lambda request: Found(passages=self.change(right(self.ask(request)).passages))
        return retriever


class NoRetriever(WithRetriever):
    def make_retriever(self, chunks):
        return sorted


class BlindToEmptiness(WithRetriever):
    def __init__(self):
        super().__init__(ask=lambda request: replace(request, query=request.query.strip() or "river"))


class Whole(WithRetriever):
    """Scores depend on how many chunks there are, those that may not be seen among them."""

    def make_retriever(self, chunks):
        self.change = lambda found: tuple(replace(one, score=one.score / len(chunks)) for one in found)
        return super().make_retriever(chunks)


def shifted(found):
    return tuple(replace(one, chunk=replace(one.chunk, start=1)) for one in found)


def test_retrievers():
    everything = {"what_a_reader_may_not_see_changes_nothing"}
    broken = {
        "no protocol": (NoRetriever, {"satisfies_the_protocol"}),
        "worst first": (lambda: WithRetriever(lambda found: found[::-1]), {"the_best_stand_first"}),
        "best lost": (
            lambda: WithRetriever(lambda found: found[1:]),
            {"what_is_looked_for_word_for_word_comes_first"},
        ),
        "one twice": (
            lambda: WithRetriever(lambda found: found + found),
            {"there_are_no_more_than_were_wanted_and_none_twice"},
        ),
        "shifted": (lambda: WithRetriever(shifted), {"passages_are_slices_of_their_documents"}),
        "no conditions": (
            lambda: WithRetriever(ask=lambda request: replace(request, where=())),
            {"conditions_hold", "an_unknown_field_is_refused"},
        ),
        "empty is taken": (BlindToEmptiness, {"an_empty_query_is_refused"}),
        "reads all": (lambda: WithRetriever(ask=lambda request: replace(request, groups=None)), everything),
        "counts all": (Whole, everything),
        "no groups": (
            lambda: WithRetriever(ask=lambda request: replace(request, groups=request.groups and frozenset())),
            {"members_of_a_group_see_its_documents_and_everyones"},
        ),
    }
    check(WithRetriever(), broken)
