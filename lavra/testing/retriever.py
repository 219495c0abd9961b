"""Conformance suite of the `Retriever` port.

Subclass `RetrieverConformance` in a test module (with a name starting with `Test`) and make a retriever over its
chunks: arms, fusions and stages are held to the same contract.

Deliberately absent: quality; it is enough that a passage is found by its own words.  The test that scores do not depend
on documents a user may not read needs two indexes; it stands in `tests/rag/retrievers/test_leakage.py`.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from lavra.base.errors import InputError
from lavra.base.ports import Retriever
from lavra.base.retrieval import ACCESS, Chunk, Condition, Found, MetaValue, Operator, SearchRequest, Where

TEXTS: Final[Mapping[str, str]] = {
    "rocks.txt": "Basalt is a dark rock.\nIt forms when lava cools quickly.",
    "museum.txt": "The museum opened in 1902.\nIts rooms show minerals and fossils.",
    "wages.txt": "Wages rise by four percent.\nThe board keeps this secret until May.",
    "travel.txt": "Trains to the coast leave at noon.\nTickets are sold at the counter.",
}
"""The documents, whose lines are chunks."""
FACTS: Final[Mapping[str, Mapping[str, MetaValue]]] = {
    "rocks.txt": {"year": 1990},
    "museum.txt": {"year": 2010},
    "wages.txt": {"year": 2020, ACCESS: ("board",)},
    "travel.txt": {"year": 2024, ACCESS: ("board", "staff")},
}
"""The facts of the documents; two documents are public."""


def chunks() -> list[Chunk]:
    """The chunks of `TEXTS`, numbered from 1."""
    found: list[Chunk] = []
    for name, text in TEXTS.items():
        start = 0
        for line, part in enumerate(text.split("\n"), start=1):
            end = start + len(part)
            found.append(
                Chunk(id=len(found) + 1, document=name, text=part, start=start, end=end, line=line, meta=FACTS[name])
            )
            start = end + 1
    return found


class RetrieverConformance:
    """The contract of every `Retriever`."""

    def make_retriever(self) -> Retriever:
        """The retriever under test, over `chunks()`; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which retriever it tests")

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_retriever(), Retriever)

    def test_a_passage_is_found_by_its_own_words(self) -> None:
        for chunk in chunks():
            passages = self.search(query=chunk.text, k=3).passages
            assert any(chunk.text in passage.chunk.text for passage in passages), chunk.text

    def test_no_more_than_wanted_the_best_first(self) -> None:
        for k in (1, 2, 50):
            passages = self.search(query="the dark rock in the museum", k=k).passages
            scores = [passage.score for passage in passages]
            assert 1 <= len(passages) <= k
            assert all(math.isfinite(score) for score in scores)
            assert scores == sorted(scores, reverse=True)

    def test_no_chunk_twice(self) -> None:
        ids = [passage.chunk.id for passage in self.search(query="the dark rock in the museum", k=50).passages]
        assert len(set(ids)) == len(ids)

    def test_a_passage_is_a_slice_of_its_document(self) -> None:
        for passage in self.search(query="the museum and lava", k=50).passages:
            chunk = passage.chunk
            text = TEXTS[chunk.document]
            assert chunk.text == text[chunk.start : chunk.end]
            assert chunk.line == text.count("\n", 0, chunk.start) + 1

    def test_the_same_question_finds_the_same(self) -> None:
        assert self.search(query="minerals and lava", k=4) == self.search(query="minerals and lava", k=4)

    def test_conditions_hold_for_every_passage(self) -> None:
        where = (Condition(field="year", operator=Operator.AT_LEAST, value=2010),)
        found = self.search(query="the dark rock in the museum", k=50, where=where)
        assert found.passages
        assert all(passage.chunk.document != "rocks.txt" for passage in found.passages)

    def test_conditions_that_nothing_meets_are_told(self) -> None:
        where = (Condition(field="year", operator=Operator.OVER, value=3000),)
        found = self.search(query="rock", where=where)
        assert not found.passages
        assert found.warnings

    def test_a_user_sees_the_documents_of_everyone_and_of_the_own_groups(self) -> None:
        everyone = {"rocks.txt", "museum.txt"}
        for groups, readable in (
            (frozenset[str](), everyone),
            (frozenset({"staff"}), everyone | {"travel.txt"}),
            (frozenset({"other"}), everyone),
            (None, set(TEXTS)),
        ):
            found = self.search(query="the board keeps the trains and the dark museum", k=50, groups=groups)
            assert {passage.chunk.document for passage in found.passages} <= readable
        secret = chunks()[5].text
        assert any(secret in one.chunk.text for one in self.search(query=secret, k=3).passages)

    def test_impossible_searches_are_an_error(self) -> None:
        unknown = (Condition(field="colour", operator=Operator.EQUAL, value="red"),)
        for request in (
            SearchRequest(query=""),
            SearchRequest(query=" \n"),
            SearchRequest(query="rock " * 10_000),
            SearchRequest(query="rock", k=0),
            SearchRequest(query="rock", where=unknown),
        ):
            assert self.refuses(request), f"{request.query[:20]!r}, k={request.k}, {request.where}: not refused"

    def search(self, query: str, k: int = 10, where: Where = (), groups: frozenset[str] | None = None) -> Found:
        """Search and return the passages found."""
        return self.make_retriever().search(SearchRequest(query=query, k=k, where=where, groups=groups))

    def refuses(self, request: SearchRequest) -> bool:
        """Whether a request raises an `InputError`."""
        retriever = self.make_retriever()
        try:
            retriever.search(request)
        except InputError:
            return True
        return False
