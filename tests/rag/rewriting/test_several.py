"""Other wordings and imagined answers: the queries, and their fusion."""

from __future__ import annotations

import pytest

from lavra.base.errors import ConfigError
from lavra.base.ports import Retriever
from lavra.base.retrieval import Chunk, Found, Passage, SearchRequest
from lavra.base.types import Completion
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import write_postings
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.rewriting.several import Hypothetical, MultiQuery, fuse_found
from lavra.rag.words import Analyzer
from lavra.testing.retriever import TEXTS, RetrieverConformance, chunks


def passage(number):
    return Passage(
        chunk=Chunk(id=number, document="d", text=str(number), start=0, end=1, line=1), score=1.0, scores={"bm25": 1.0}
    )


class Table:
    """Finds fixed results by query; it keeps the requests."""

    def __init__(self, found):
        self.found, self.requests = found, []

    def search(self, request):
        self.requests.append(request)
        ids = next((ids for words, ids in self.found.items() if words in request.query), [])
        return Found(passages=tuple(map(passage, ids[: request.k])), warnings=("one word is unknown",))


class Writer:
    """Writes one text after another."""

    def __init__(self, *texts):
        self.texts, self.requests = list(texts), []

    def generate(self, requests):
        self.requests += requests
        return [[Completion(text=self.texts.pop(0))] for _ in requests]


def ids(found):
    return [one.chunk.id for one in found.passages]


class Wordy:
    """Always writes the same text."""

    def generate(self, requests):
        return [[Completion(text="When do trains leave the museum?")] for _ in requests]


class TestMultiQuery(RetrieverConformance):
    def wrap(self, inner):
        return MultiQuery(inner, Wordy(), wordings=1)

    @pytest.fixture(autouse=True)
    def _retriever(self, tmp_path):
        every = chunks()
        texts = [chunk.text for chunk in every]
        write_postings(tmp_path / "p", [chunk.id for chunk in every], texts, Analyzer(("en",)))
        table = MemoryChunks(every, TEXTS)
        self.retriever = self.wrap(build_retriever(table, Postings.open(tmp_path / "p"), None, None))

    def make_retriever(self):
        return self.retriever


class TestHypothetical(TestMultiQuery):
    def wrap(self, inner):
        return Hypothetical(inner, Wordy())


def test_fusion_is_reciprocal_ranks():
    lists = [[1, 2, 3], [3, 4], [4, 3]]
    expected = {id: sum(1 / (60 + one.index(id) + 1) for one in lists if id in one) for id in (1, 2, 3, 4)}
    fused = fuse_found([Found(passages=tuple(map(passage, one))) for one in lists], 3)
    assert [one.chunk.id for one in fused] == sorted(expected, key=lambda id: (-expected[id], id))[:3]
    assert [one.score for one in fused] == pytest.approx(sorted(expected.values(), reverse=True)[:3])
    assert fused[0].scores == {"bm25": 1.0}


def test_other_wordings_find_what_the_question_does_not():
    inner = Table({"stop charging": [1, 2], "entry free": [3, 1], "cost of": [3]})
    model = Writer(" Since when is entry free?", "What is the cost of a visit?")
    retriever = MultiQuery(inner, model)
    assert isinstance(retriever, Retriever)
    request = SearchRequest(query="When did the museum stop charging?", k=2, groups=frozenset({"staff"}))
    found = retriever.search(request)
    assert ids(found) == [3, 1]
    assert found.warnings == ("one word is unknown",)
    assert inner.requests[0].query == request.query
    assert all(one.groups == request.groups for one in inner.requests)
    greedy, drawn = model.requests
    assert greedy.sampling.temperature == 0 < drawn.sampling.temperature
    assert drawn.sampling.seed is not None  # the same wordings each time


@pytest.mark.parametrize("make", [lambda inner, model: MultiQuery(inner, model, wordings=1), Hypothetical])
@pytest.mark.parametrize("written", ["", "the same Question?", "so?"])
def test_useless_wordings_are_left_out_with_a_warning(make, written):
    inner = Table({"Question": [5, 6, 7]})
    found = make(inner, Writer(written)).search(SearchRequest(query="The same question?", k=2))
    assert len(inner.requests) == 1
    assert "the model wrote nothing to search with" in found.warnings[-1]


def test_an_imagined_answer_is_searched_with():
    inner = Table({"lava cools": [9, 8], "come from": [8, 7]})
    found = Hypothetical(inner, Writer("It forms when lava cools.")).search(
        SearchRequest(query="Where does basalt come from?", k=3)
    )
    assert ids(found) == [8, 9, 7]


def test_no_wording_is_refused():
    with pytest.raises(ConfigError, match="wordings is 0"):
        MultiQuery(Table({}), Writer(), wordings=0)
