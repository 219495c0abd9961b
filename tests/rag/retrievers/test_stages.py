"""Reranking, diversity and widening, each against results computed by hand."""

import numpy as np
import pytest

from lavra.base.errors import ConfigError
from lavra.base.retrieval import Chunk, Found, Passage, SearchRequest
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.retrievers.config import Expansion
from lavra.rag.retrievers.diverse import Diverse, word_likeness
from lavra.rag.retrievers.expanded import Expanded
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.words import Analyzer
from tests.rag.retrievers.toy import Overlap, lines

TEXT = "# one\nalpha beta\ngamma delta\nepsilon zeta\n# two\neta theta\niota kappa\n\nlambda mu"
CHUNKS = lines("doc", TEXT, 1, {})


class Fixed:
    """Finds these chunks in this order for every query."""

    def __init__(self, chunks, scores=None):
        scores = scores or [1 / (1 + place) for place in range(len(chunks))]
        self.passages = tuple(
            Passage(chunk=chunk, score=score, scores={"bm25": score})
            for chunk, score in zip(chunks, scores, strict=True)
        )

    def search(self, request):
        self.asked = request
        return Found(passages=self.passages[: request.k], warnings=("a warning",))


def loose(*texts):
    return [Chunk(id=id, document="d", text=text, start=0, end=len(text), line=1) for id, text in enumerate(texts)]


def test_a_reranker_orders_the_first_passages():
    inner = Fixed(loose("a b", "c d", "a c", "c"))
    found = Reranked(inner, Overlap(), depth=3).search(SearchRequest(query="c d", k=2))
    assert inner.asked.k == 3
    assert [passage.chunk.text for passage in found.passages] == ["c d", "a c"]
    assert [passage.score for passage in found.passages] == [1.0, 0.5]
    assert found.passages[0].scores == {"bm25": 0.5, "rerank": 1.0}
    assert found.warnings == ("a warning",)


def test_a_reranker_of_half_the_weight():
    found = Reranked(Fixed(loose("a b", "c d", "a c"), [9, 5, 1]), Overlap(), depth=3, weight=0.25).search(
        SearchRequest(query="c d", k=3)
    )
    assert [(passage.chunk.text, passage.score) for passage in found.passages] == [
        ("a b", 0.75),
        ("c d", 0.25 + 0.75 * 0.5),
        ("a c", 0.125),
    ]


def test_equal_reranker_scores_are_ordered_by_number():
    found = Reranked(Fixed(loose("x", "y", "z")), Overlap(), depth=3).search(SearchRequest(query="q", k=3))
    assert [passage.chunk.id for passage in found.passages] == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"weight": 1.5}])
def test_a_reranker_of_no_depth(wrong):
    with pytest.raises(ConfigError):
        Reranked(Fixed([]), Overlap(), **wrong)


def naive_mmr(scores, alike, relevance, k):
    fit = [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]
    chosen = []
    while len(chosen) < min(k, len(scores)):
        left = [place for place in range(len(scores)) if place not in chosen]
        gains = {
            place: relevance * fit[place] - (1 - relevance) * max((alike[place][one] for one in chosen), default=0)
            for place in left
        }
        chosen.append(max(left, key=lambda place: (gains[place], -place)))
    return chosen


@pytest.mark.parametrize("relevance", [0.0, 0.3, 0.7, 1.0])
def test_difference_is_maximal_marginal_relevance(relevance):
    rng = np.random.default_rng(0)
    scores = sorted(rng.random(12).tolist(), reverse=True)
    alike = rng.random((12, 12))
    alike = (alike + alike.T) / 2
    inner = Fixed(loose(*map(str, range(12))), scores)
    found = Diverse(inner, lambda texts: alike, relevance=relevance).search(SearchRequest(query="q", k=5))
    assert [passage.chunk.id for passage in found.passages] == naive_mmr(scores, alike, relevance, 5)
    order = [passage.score for passage in found.passages]
    assert order == sorted(order, reverse=True)


def test_a_copy_comes_after_what_is_new():
    inner = Fixed(loose("the cat sat", "the cat sat", "a dog ran"), [3, 2.9, 1])
    found = Diverse(inner, word_likeness(Analyzer()), relevance=0.5).search(SearchRequest(query="q", k=2))
    assert [passage.chunk.id for passage in found.passages] == [0, 2]
    assert Diverse(Fixed([]), word_likeness(Analyzer())).search(SearchRequest(query="q")).passages == ()


def widened(chunks, **settings):
    table = MemoryChunks(CHUNKS, {"doc": TEXT})
    found = Expanded(Fixed(chunks), table, **settings).search(SearchRequest(query="q", k=9))
    for passage in found.passages:
        chunk = passage.chunk
        assert TEXT[chunk.start : chunk.end] == chunk.text
        assert TEXT[: chunk.start].count("\n") + 1 == chunk.line
    return [passage.chunk.text for passage in found.passages]


def test_a_passage_with_its_neighbours():
    assert widened([CHUNKS[1]]) == ["alpha beta\ngamma delta\nepsilon zeta"]
    assert widened([CHUNKS[0]]) == ["alpha beta\ngamma delta"]
    assert widened([CHUNKS[5]], neighbours=9) == [TEXT[6:]]


def test_a_passage_with_its_section():
    assert widened([CHUNKS[4]], expansion=Expansion.SECTION) == ["eta theta\niota kappa\n\nlambda mu"]


def test_no_wider_than_allowed():
    assert widened([CHUNKS[1]], most_characters=24) == ["alpha beta\ngamma delta"]
    assert widened([CHUNKS[1]], most_characters=1) == ["gamma delta"]


def test_passages_that_overlap_become_one_at_the_better_rank():
    assert widened([CHUNKS[5], CHUNKS[0], CHUNKS[1]]) == [
        "iota kappa\n\nlambda mu",
        "alpha beta\ngamma delta\nepsilon zeta",
    ]
    # The third one joins the first two, which did not meet before.
    assert widened([CHUNKS[0], CHUNKS[4], CHUNKS[2]]) == [TEXT[6:]]


def test_a_widened_passage_keeps_its_number_and_scores():
    table = MemoryChunks(CHUNKS, {"doc": TEXT})
    (passage,) = Expanded(Fixed([CHUNKS[1]]), table).search(SearchRequest(query="q")).passages
    assert (passage.chunk.id, passage.score, passage.scores) == (CHUNKS[1].id, 1.0, {"bm25": 1.0})
