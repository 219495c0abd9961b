"""The arms, their fusion, and wrong requests."""

import numpy as np
import pytest

from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.ports import Retriever
from lavra.base.retrieval import Condition, Operator, SearchRequest
from lavra.rag.retrievers.arm import Candidates
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Arms, Fusion, RetrievalConfig
from lavra.rag.retrievers.fusion import fuse_ranks, fuse_scores, scale
from tests.rag.retrievers.toy import Overlap, Parts

DOCUMENTS = {
    "wings": "a wing in a slipstream\nlift of a swept wing\ndrag of a body",
    "heat": "heat flow in a slab\nconduction of heat\nthe wing grows hot",
    "cats": "a cat sat\nthe cat ran\ntwo dogs and a cat",
}
EVERY = [
    RetrievalConfig(arms=Arms.WORDS),
    RetrievalConfig(arms=Arms.DENSE),
    RetrievalConfig(arms=Arms.HYBRID, fusion=Fusion.RANKS),
    RetrievalConfig(arms=Arms.HYBRID),
    RetrievalConfig(rerank_depth=5),
    RetrievalConfig(relevance=0.5),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    meta = {"wings": {"year": 1958}, "heat": {"year": 1962}, "cats": {"year": 2020}}
    return Parts(tmp_path_factory.mktemp("parts") / "p", DOCUMENTS, meta=meta)


def built(parts, config, **changed):
    given = {"store": parts.store, "embedder": parts.embedder, "reranker": Overlap(), **changed}
    return build_retriever(parts.table, parts.postings, given["store"], given["embedder"], config, given["reranker"])


@pytest.mark.parametrize("config", EVERY)
def test_every_retriever_keeps_the_common_rules(parts, config):
    retriever = built(parts, config)
    assert isinstance(retriever, Retriever)
    found = retriever.search(SearchRequest(query="lift swept wing", k=3))
    assert found.passages[0].chunk.text == "lift of a swept wing"
    assert len(found.passages) <= 3
    scores = [passage.score for passage in found.passages]
    assert scores == sorted(scores, reverse=True)
    assert np.isfinite(scores).all()
    assert len({passage.chunk.id for passage in found.passages}) == len(found.passages)
    for passage in found.passages:
        chunk = passage.chunk
        assert parts.table.document_text(chunk.document)[chunk.start : chunk.end] == chunk.text
        assert passage.scores
    assert retriever.search(SearchRequest(query="lift swept wing", k=3)) == found


@pytest.mark.parametrize("config", EVERY)
def test_conditions_hold_for_every_passage(parts, config):
    where = (Condition(field="year", operator=Operator.OVER, value=1960),)
    found = built(parts, config).search(SearchRequest(query="the swept wing", k=9, where=where))
    assert found.passages
    assert all(passage.chunk.meta["year"] > 1960 for passage in found.passages)


@pytest.mark.parametrize("config", EVERY)
def test_conditions_that_nothing_meets_are_said(parts, config):
    where = (Condition(field="year", operator=Operator.OVER, value=3000),)
    found = built(parts, config).search(SearchRequest(query="wing", where=where))
    assert found.passages == ()
    assert found.warnings == ("no passage meets the conditions, so nothing was searched",)


@pytest.mark.parametrize("config", EVERY)
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (SearchRequest(query=""), "empty"),
        (SearchRequest(query=" \n\t"), "empty"),
        (SearchRequest(query="wing " * 10_000), r"50,000 characters; at most 10,000"),
        (SearchRequest(query="wing\ud800"), "half of a character"),
        (SearchRequest(query="wing", k=0), "k is 0"),
        (SearchRequest(query="wing", where=(Condition(field="yaer", operator=Operator.EQUAL, value=1),)), "yaer"),
    ],
)
def test_impossible_searches_are_an_error(parts, config, request_, message):
    with pytest.raises(InputError, match=message):
        built(parts, config).search(request_)


def test_scores_of_each_arm_stand_with_the_passage(parts):
    (first, *_) = built(parts, RetrievalConfig(rerank_depth=5)).search(SearchRequest(query="lift swept wing")).passages
    (words, *_) = built(parts, RetrievalConfig(arms=Arms.WORDS)).search(SearchRequest(query="lift swept wing")).passages
    (dense, *_) = built(parts, RetrievalConfig(arms=Arms.DENSE)).search(SearchRequest(query="lift swept wing")).passages
    assert first.scores == {"bm25": words.score, "dense": dense.score, "rerank": 1.0}


def test_a_question_without_words_is_said(parts):
    found = built(parts, RetrievalConfig(arms=Arms.WORDS)).search(SearchRequest(query="?!"))
    assert found.passages == ()
    assert "no word" in found.warnings[0]


def test_an_index_without_vectors_is_searched_by_words(parts):
    found = built(parts, RetrievalConfig(), store=None, embedder=None).search(SearchRequest(query="cat"))
    assert {passage.chunk.document for passage in found.passages} == {"cats"}
    for arms in (Arms.DENSE, Arms.HYBRID):
        with pytest.raises(ConfigError, match="no vectors"):
            built(parts, RetrievalConfig(arms=arms), store=None)
        with pytest.raises(ConfigError, match="no encoder"):
            built(parts, RetrievalConfig(arms=arms), embedder=None)
    with pytest.raises(ConfigError, match="no reranker"):
        built(parts, RetrievalConfig(rerank_depth=3), reranker=None)


@pytest.mark.parametrize("fusion", list(Fusion))
def test_a_question_longer_than_the_embedder_reads_is_searched_by_words(parts, fusion):
    class Short:
        def embed(self, texts):
            raise ContextLengthError("the text has 900 tokens and the model reads 254")

    found = built(parts, RetrievalConfig(fusion=fusion), embedder=Short()).search(
        SearchRequest(query="lift swept wing")
    )
    assert found.passages[0].chunk.text == "lift of a swept wing"
    assert found.warnings == (
        "the question was searched for by its words alone: the text has 900 tokens and the model reads 254",
    )


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_an_arm_of_weight_0_is_not_asked(parts, weight):
    class Unused:
        name = "unused"

        def embed(self, texts):
            raise AssertionError("asked")

        def search(self, *given):
            raise AssertionError("asked")

    config = RetrievalConfig(dense_weight=weight)
    changed = {"store": Unused(), "embedder": Unused()} if weight == 0 else {}
    found = built(parts, config, **changed).search(SearchRequest(query="lift swept wing"))
    alone = RetrievalConfig(arms=Arms.DENSE if weight else Arms.WORDS)
    expected = built(parts, alone).search(SearchRequest(query="lift swept wing"))
    assert [one.chunk.id for one in found.passages] == [one.chunk.id for one in expected.passages]


def test_a_store_that_gives_forbidden_rows_is_reported(parts):
    class Wrong:
        def search(self, queries, k, where=()):
            return np.array([[1, 99, 4, -1]]), np.array([[0.9, 0.8, 0.7, -np.inf]], dtype=np.float32)

    where = (Condition(field="document", operator=Operator.EQUAL, value="wings"),)
    retriever = built(parts, RetrievalConfig(arms=Arms.DENSE), store=Wrong())
    found = retriever.search(SearchRequest(query="wing", where=where))
    assert [one.chunk.id for one in found.passages] == [1]
    assert "gave 2 passages" in found.warnings[0]


@pytest.mark.parametrize("vector", [np.zeros(64), np.full(64, np.nan), np.full(64, np.inf)])
def test_a_broken_embedder_is_an_error(parts, vector):
    class Broken:
        def embed(self, texts):
            return np.array([vector], dtype=np.float32)

    with pytest.raises(InputError, match="encoder is broken"):
        built(parts, RetrievalConfig(arms=Arms.DENSE), embedder=Broken()).search(SearchRequest(query="wing"))


def candidates(**scores):
    ids = [int(name[1:]) for name in scores]
    return Candidates(ids=np.array(ids, dtype=np.int64), scores=np.array(list(scores.values()), dtype=np.float64))


def test_reciprocal_ranks_by_hand():
    ids, scores = fuse_ranks([candidates(c3=9, c1=4), candidates(c1=0.9, c2=0.5)], 60)
    assert ids.tolist() == [1, 3, 2]
    np.testing.assert_allclose(scores, [1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_weighted_scores_by_hand():
    ids, scores = fuse_scores([candidates(c3=9, c1=6, c5=3), candidates(c1=0.9, c2=0.5)], [0.75, 0.25])
    assert ids.tolist() == [3, 1, 2, 5]
    np.testing.assert_allclose(scores, [0.75, 0.625, 0, 0])


def test_equal_scores_are_ordered_by_number():
    assert fuse_ranks([candidates(c9=2), candidates(c4=2)], 60)[0].tolist() == [4, 9]
    assert scale(np.array([2.0, 2.0])).tolist() == [1, 1]
    assert scale(np.zeros(0)).tolist() == []


@pytest.mark.parametrize(
    "wrong",
    [{"dense_weight": 1.1}, {"relevance": -0.1}, {"depth": 0}, {"rerank_depth": -1}, {"rerank_weight": float("nan")}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RetrievalConfig(**wrong)
