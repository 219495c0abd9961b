"""Learned weights, on planted corpora where the better arm is known."""

import numpy as np
import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.retrieval import Chunk, SearchRequest
from lavra.metrics.ranking import ndcg_at
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.retrievers.arm import Candidates
from lavra.rag.retrievers.config import Fusion, RetrievalConfig
from lavra.rag.retrievers.hybrid import HybridRetriever
from lavra.rag.retrievers.weights import GRID, best_weight, learn_weights

NUM = 40
TABLE = MemoryChunks(
    [Chunk(id=id, document=str(id), text=str(id), start=0, end=1, line=1) for id in range(NUM)],
    {str(id): str(id) for id in range(NUM)},
)
QUERIES = {f"q{id}": str(id) for id in range(NUM)}
JUDGEMENTS = {f"q{id}": {id: 1.0} for id in range(NUM)}


class NoisyArm:
    """Scores the chunk that the query names above the others by `signal`, with noise."""

    def __init__(self, name, signal, seed):
        self.name, self._signal, self._seed = name, signal, seed

    def candidates(self, lookup):
        scores = np.random.default_rng((self._seed, int(lookup.query))).standard_normal(NUM)
        scores[int(lookup.query)] += self._signal
        order = np.argsort(-scores, kind="stable")[: lookup.depth]
        return Candidates(ids=order, scores=scores[order])


def learned(words, dense, **settings):
    return learn_weights(
        TABLE, NoisyArm("bm25", words, 1), NoisyArm("dense", dense, 2), QUERIES, JUDGEMENTS, **settings
    )


def test_a_blind_arm_is_weighted_down():
    result = learned(4.0, 0.0)
    assert result.dense_weight <= 0.2
    assert result.ndcg >= result.words_ndcg - 0.02
    assert learned(0.0, 4.0).dense_weight >= 0.7


def test_two_arms_that_see_are_better_together():
    result = learned(2.0, 2.0)
    assert 0.3 <= result.dense_weight <= 0.7
    assert result.ndcg > max(result.words_ndcg, result.dense_ndcg) + 0.05
    assert len(result.fold_weights) == 10
    assert len(result.by_query) == NUM


def test_figures_are_those_of_the_retriever_with_that_weight():
    """Figures learned on the arms' candidates equal those of a search with the weight."""
    result = learned(2.0, 1.0, splits=1)
    config = RetrievalConfig(fusion=Fusion.WEIGHTS, dense_weight=result.dense_weight)
    arms = NoisyArm("bm25", 2.0, 1), NoisyArm("dense", 1.0, 2)
    total = 0.0
    for name, query in QUERIES.items():
        passages = HybridRetriever(TABLE, *arms, config).search(SearchRequest(query=query)).passages
        total += ndcg_at([str(one.chunk.id) for one in passages], {query: JUDGEMENTS[name][int(query)]}, 10)
    if len(set(result.fold_weights)) == 1 and result.fold_weights[0] == result.dense_weight:
        assert total / NUM == pytest.approx(result.ndcg)
    for weight, expected in ((0.0, result.words_ndcg), (1.0, result.dense_ndcg)):
        alone = HybridRetriever(TABLE, *arms, RetrievalConfig(fusion=Fusion.WEIGHTS, dense_weight=weight))
        found = {query: alone.search(SearchRequest(query=query)).passages for query in QUERIES.values()}
        scores = [ndcg_at([str(one.chunk.id) for one in found[q]], {q: 1.0}, 10) for q in found]
        assert np.mean(scores) == pytest.approx(expected)


def test_no_query_is_scored_by_a_weight_it_helped_to_choose():
    """Two folds with opposite best weights: each query is scored with the other fold's, and so with its worst."""
    scores = np.zeros((4, len(GRID)))
    scores[:2, :3] = scores[2:, -3:] = 1.0
    assert best_weight(scores[:2]) < 2
    assert best_weight(scores[2:]) > len(GRID) - 3
    queries, judgements = {"q0": "0", "q1": "1"}, {"q0": {0: 1.0}, "q1": {1: 1.0}}

    class OneSided(NoisyArm):
        """Finds the answer of one of the two queries."""

        def candidates(self, lookup):
            right = int(lookup.query) if (self.name == "bm25") == (lookup.query == "0") else 30
            ids = np.array([right, *range(10, 20)])
            return Candidates(ids=ids, scores=np.linspace(1, 0, len(ids)))

    result = learn_weights(TABLE, OneSided("bm25", 0, 0), OneSided("dense", 0, 0), queries, judgements)
    assert {weight > 0.5 for weight in result.fold_weights} == {True, False}
    assert result.words_ndcg == result.dense_ndcg == 0.5
    assert result.ndcg == 0.0


def test_the_same_seed_gives_the_same_weight():
    assert learned(2.0, 1.0, seed=3) == learned(2.0, 1.0, seed=3)


def test_wrong_input_is_named():
    with pytest.raises(ConfigError, match="folds are 1"):
        learned(1, 1, folds=1)
    with pytest.raises(InputError, match="1 queries have a passage that fits"):
        learn_weights(TABLE, NoisyArm("a", 1, 1), NoisyArm("b", 1, 1), {"q1": "1", "q2": "2"}, {"q1": {1: 1.0}})
