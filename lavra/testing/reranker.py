"""Conformance suite of the `Reranker` port.

Subclass `RerankerConformance` in a test module (with a name starting with `Test`) and define how to make the reranker;
a model in this process and a remote URL are held to the same contract.

Deliberately absent: quality; a random head passes.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.ports import Reranker


class RerankerConformance:
    """The contract of every `Reranker`.

    Attributes:
        query: search text.
        texts: at least three different texts, of different lengths.
        tolerance: largest difference allowed between two scores of the same pair.
    """

    query: str = "Where does basalt come from?"
    texts: Sequence[str] = (
        "Basalt is a rock.",
        "It forms when lava cools quickly at the surface, which is why it is found near volcanoes.",
        "The museum opened in 1902",
    )
    tolerance: float = 1e-4

    def make_reranker(self) -> Reranker:
        """The reranker under test; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which reranker it tests")

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_reranker(), Reranker)

    def test_every_text_has_one_score_from_0_to_1(self) -> None:
        ranked = self.make_reranker().rerank(self.query, self.texts)
        assert sorted(one.index for one in ranked) == list(range(len(self.texts)))
        assert all(0.0 <= one.score <= 1.0 for one in ranked)

    def test_the_best_stand_first(self) -> None:
        scores = [one.score for one in self.make_reranker().rerank(self.query, self.texts)]
        assert scores == sorted(scores, reverse=True)

    def test_nothing_in_nothing_out(self) -> None:
        assert self.make_reranker().rerank(self.query, []) == []

    def test_company_and_order_do_not_matter(self) -> None:
        reranker = self.make_reranker()
        together = self.scores(reranker, self.texts)
        backward = list(reversed(self.scores(reranker, list(reversed(self.texts)))))
        alone = [self.scores(reranker, [text])[0] for text in self.texts]
        for one, other, third in zip(together, backward, alone, strict=True):
            assert max(abs(one - other), abs(one - third)) <= self.tolerance

    def test_equal_texts_stand_in_the_order_they_were_given(self) -> None:
        ranked = self.make_reranker().rerank(self.query, [self.texts[0]] * 3)
        assert [one.index for one in ranked] == [0, 1, 2]

    def scores(self, reranker: Reranker, texts: Sequence[str]) -> list[float]:
        """Scores in the order of the texts."""
        return [one.score for one in sorted(reranker.rerank(self.query, texts), key=lambda one: one.index)]
