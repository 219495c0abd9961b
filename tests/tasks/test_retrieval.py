"""Recall and reciprocal rank of pairs, with ties and equal texts, against random orders of equals."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.adapt.passage_scores import Bm25Scores
from lavra.base.errors import ConfigError, InputError
from lavra.base.predictions import Ranked
from lavra.data.labelled.samples import PairSample, Place
from lavra.metrics.ranking import ranking_scores
from lavra.tasks.scoring.retrieval import RerankedScores, compare_with_bm25, rank_pairs


class Table:
    """Fixed scores."""

    def __init__(self, passages, rows):
        self.passages, self.rows = tuple(passages), rows

    def scores(self, queries):
        return np.array([self.rows[query] for query in queries], dtype=np.float32)


def pair(anchor, positive):
    return PairSample(anchor=anchor, positive=positive, place=Place(line=7))


@given(st.lists(st.integers(0, 2), min_size=2, max_size=5), st.integers(1, 5))
def test_ties_give_the_mean_over_all_orders_of_equals(scores, cutoff):
    """Each passage has a name for each order of the passages; the ranking metrics of one order know no ties."""
    passages = [str(place) for place in range(len(scores))]
    ranks = rank_pairs([pair("q", "0")], Table(passages, {"q": scores}))
    found: dict[str, list[float]] = {"recall": [], "mrr": []}
    for order in itertools.permutations(range(len(scores))):
        ranked = sorted(passages, key=lambda one, order=order: (-scores[int(one)], order[int(one)]))
        values = ranking_scores({"q": ranked}, {"q": {"0": 1.0}}, cutoffs=(cutoff, len(scores))).to_values()
        found["recall"].append(values[f"recall@{cutoff}"])
        found["mrr"].append(values[f"mrr@{len(scores)}"])
    assert ranks.recall(cutoff)[0] == pytest.approx(np.mean(found["recall"]))
    assert ranks.reciprocal()[0] == pytest.approx(np.mean(found["mrr"]))


def test_a_model_that_tells_nothing_apart_guesses():
    """If only strictly better passages counted, it would have found everything."""
    ranks = rank_pairs([pair("q", "c")], Table("abcde", {"q": [1.0] * 5}))
    values = ranks.scores((1, 4)).to_values()
    assert values["recall@1"] == pytest.approx(1 / 5)
    assert values["recall@4"] == pytest.approx(4 / 5)
    assert values["mrr"] == pytest.approx(sum(1 / rank for rank in range(1, 6)) / 5)


def test_other_right_passages_of_a_query_do_not_compete():
    table = Table("abcd", {"q": [3.0, 2.0, 2.5, 1.0], "r": [1.0, 2.0, 3.0, 0.0]})
    ranks = rank_pairs([pair("q", "a"), pair("q", "b"), pair("r", "c")], table)
    assert ranks.better.tolist() == [0, 1, 0]  # c alone is before b; a is right as well
    assert ranks.num_candidates.tolist() == [3, 3, 4]


def test_equal_texts_are_one_passage():
    index = Bm25Scores(["red cat", "red cat", "dog", "red cat", "bird"])
    ranks = rank_pairs([pair("a cat", "red cat"), pair("cat", "red cat")], index)
    assert ranks.better.tolist() == ranks.tied.tolist() == [0, 0]
    assert ranks.num_candidates.tolist() == [3, 3]


def letters(texts):
    return np.array([[text.count(letter) for letter in "abcxyz"] for text in texts], dtype=np.float32)


def test_an_encoder_is_set_beside_bm25_on_the_same_passages():
    """The words have nothing in common and the letters everything: BM25 chooses among four at random."""
    pairs = [pair("aab", "baa"), pair("x", "xx"), pair("cyc", "ccy")]
    found = compare_with_bm25(pairs, letters, passages=["zzz", "baa"], cutoffs=(1, 2))
    assert found.num_passages == 4
    assert found.ours.to_values() == {"recall@1": 1.0, "recall@2": 1.0, "mrr": 1.0}
    assert found.bm25.to_values()["recall@1"] == pytest.approx(0.25)
    assert found.bm25.num_queries == 3
    assert found.ahead["recall@1"].low == pytest.approx(0.75)
    assert found.lost == ()


def test_a_win_of_bm25_is_reported():
    pairs = [pair("one word", "word one"), pair("two", "two two")]
    found = compare_with_bm25(pairs, lambda texts: np.ones((len(texts), 3), dtype=np.float32), cutoffs=(1,))
    assert found.lost == ("recall@1", "mrr")
    assert found.ahead["recall@1"].high < 0


def test_cutoffs_that_test_nothing_are_named_and_those_below_1_refused():
    ranks = rank_pairs([pair("q", "a")], Table("abc", {"q": [1.0, 2.0, 3.0]}))
    assert ranks.scores((1, 2, 3, 9)).to_values() == pytest.approx(
        {"recall@1": 0.0, "recall@2": 0.0, "recall@3": 1.0, "recall@9": 1.0, "mrr": 1 / 3}
    )
    assert ranks.trivial((1, 2, 3, 9)) == (3, 9)
    assert compare_with_bm25([pair("a", "b"), pair("c", "d")], letters).trivial == (5, 10)
    with pytest.raises(ConfigError, match=r"cutoffs are \(0,\)"):
        ranks.scores((0,))


def test_pairs_that_cannot_be_found_are_refused():
    table = Table("ab", {"q": [1.0, 2.0]})
    with pytest.raises(InputError, match="no pairs"):
        rank_pairs([], table)
    with pytest.raises(InputError, match="no pairs"):
        compare_with_bm25([], letters)
    with pytest.raises(InputError, match=r"sample 7: 'z' is not among the 2 passages"):
        rank_pairs([pair("q", "z")], table)


def reranker(wanted):
    """A reranker with fixed scores, best first, like a cross-encoder."""

    def rerank(query, texts):
        del query
        ranked = [Ranked(index=place, score=wanted.get(text, 0.0)) for place, text in enumerate(texts)]
        return sorted(ranked, key=lambda one: -one.score)

    return rerank


def test_a_cross_encoder_orders_the_best_and_leaves_the_rest_behind():
    first = Table("abcde", {"q": [5.0, 4.0, 3.0, 2.0, 1.0]})
    searched = RerankedScores(first, reranker({"c": 0.9, "a": 0.1, "b": 0.1, "e": 1.0}), depth=3)
    (row,) = searched.scores(["q"])
    assert np.argsort(-row, kind="stable").tolist() == [2, 0, 1, 3, 4]
    assert row[0] == row[1]
    assert rank_pairs([pair("q", "c")], searched).better.tolist() == [0]
    assert rank_pairs([pair("q", "e")], searched).better.tolist() == [4]  # never seen by the cross-encoder


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=6), st.lists(st.integers(-4, 4), min_size=6, max_size=6))
def test_reranking_everything_is_the_cross_encoder(scores, wanted):
    passages = [str(place) for place in range(len(scores))]
    table = {name: float(wanted[place]) for place, name in enumerate(passages)}
    (row,) = RerankedScores(Table(passages, {"q": scores}), reranker(table)).scores(["q"])
    own = [table[name] for name in passages]
    for one, other in itertools.combinations(range(len(scores)), 2):
        assert np.sign(row[one] - row[other]) == np.sign(own[one] - own[other])


def test_a_reranker_that_loses_texts_is_refused():
    first = Table("ab", {"q": [1.0, 2.0]})
    with pytest.raises(InputError, match="2 texts were to be reranked and 1 came back"):
        RerankedScores(first, lambda query, texts: [Ranked(index=0, score=1.0)]).scores(["q"])
    with pytest.raises(ConfigError, match="depth is 0"):
        RerankedScores(first, reranker({}), depth=0)
