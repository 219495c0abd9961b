"""Conformance suite of the `Retriever` port.

Subclass `RetrieverConformance` in a test module (with a name starting with `Test`) and say how to make the retriever
over `CHUNKS`, two of which the group `crew` alone may read.

Deliberately absent: quality, but for this: a passage that says just what is looked for is found.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lavra.base.errors import InputError
from lavra.base.ports import Retriever
from lavra.base.retrieval import ACCESS, Chunk, Condition, MetaValue, Operator, Passage, SearchRequest, Where

TEXTS: Final = (
    ("rivers.txt", "The Amazon is the largest river of the world.", 2019, ()),
    ("honey.txt", "Honey is a sweet food that bees make from nectar.", 2020, ()),
    ("oaks.txt", "An oak is a tree that lives for centuries.", 2021, ()),
    ("rain.txt", "The heaviest rain ever measured fell on Foc-Foc.", 2022, ()),
    ("codes.txt", "The launch code of the rocket is swordfish.", 2023, ("crew",)),
    ("routes.txt", "The largest river of the plan is crossed at night by the rocket crew.", 2019, ("crew",)),
)
"""Documents of one chunk: name, text, year, and groups that may read it where it is not everyone's."""


def _chunk(number: int, name: str, text: str, year: int, groups: tuple[str, ...]) -> Chunk:
    meta: Mapping[str, MetaValue] = {"document": name, "year": year, **({ACCESS: groups} if groups else {})}
    return Chunk(id=number, document=name, text=text, start=0, end=len(text), line=1, meta=meta)


CHUNKS: Final = tuple(_chunk(number, *one) for number, one in enumerate(TEXTS))


class RetrieverConformance:
    """What every `Retriever` must do."""

    def make_retriever(self, chunks: Sequence[Chunk]) -> Retriever:
        """A retriever over chunks; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which retriever it tests")

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_retriever(CHUNKS), Retriever)

    def test_what_is_looked_for_word_for_word_comes_first(self) -> None:
        for chunk in CHUNKS:
            assert self.found(chunk.text)[0].chunk.document == chunk.document

    def test_there_are_no_more_than_were_wanted_and_none_twice(self) -> None:
        for k in (1, 2, 100):
            found = [one.chunk.id for one in self.found("largest river rocket", k=k)]
            assert len(found) <= k
            assert len(found) == len(set(found))

    def test_the_best_stand_first(self) -> None:
        scores = [one.score for one in self.found("largest river rocket")]
        assert scores == sorted(scores, reverse=True)

    def test_passages_are_slices_of_their_documents(self) -> None:
        texts = {chunk.document: chunk.text for chunk in CHUNKS}
        for one in self.found("the largest river"):
            assert texts[one.chunk.document][one.chunk.start : one.chunk.end] == one.chunk.text

    def test_conditions_hold(self) -> None:
        where = (Condition(field="year", operator=Operator.AT_MOST, value=2020),)
        years = {one.chunk.meta["year"] for one in self.found("river honey oak rain rocket", where=where)}
        assert years == {2019, 2020}

    def test_an_unknown_field_is_refused(self) -> None:
        where = (Condition(field="colour", operator=Operator.EQUAL, value="red"),)
        assert "colour" in self.refusal("river", where)

    def test_an_empty_query_is_refused(self) -> None:
        assert self.refusal("  ")

    def test_what_a_reader_may_not_see_changes_nothing(self) -> None:
        own = [chunk for chunk in CHUNKS if ACCESS not in chunk.meta]
        for query in ("the largest river", "launch code swordfish", "rocket"):
            seen = self.found(query, groups=frozenset())
            alone = self.found(query, chunks=own)
            assert [(one.chunk.document, round(one.score, 6)) for one in seen] == [
                (one.chunk.document, round(one.score, 6)) for one in alone
            ]

    def test_members_of_a_group_see_its_documents_and_everyones(self) -> None:
        found = {one.chunk.document for one in self.found("largest river rocket", groups=frozenset({"crew"}))}
        assert {"rivers.txt", "routes.txt", "codes.txt"} <= found

    def refusal(self, query: str, where: Where = ()) -> str:
        """What a search says that is refused; empty where it is not."""
        try:
            self.found(query, where=where)
        except InputError as error:
            return str(error)
        return ""

    def found(
        self,
        query: str,
        *,
        k: int = 10,
        where: Where = (),
        groups: frozenset[str] | None = None,
        chunks: Sequence[Chunk] = CHUNKS,
    ) -> tuple[Passage, ...]:
        """Passages of a search."""
        request = SearchRequest(query=query, k=k, where=where, groups=groups)
        return self.make_retriever(chunks).search(request).passages
