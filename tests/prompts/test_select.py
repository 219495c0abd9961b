"""Selection against naive references, and independence from irrelevant changes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics.pairwise import cosine_similarity

from lavra.base.errors import ConfigError
from lavra.prompts.select import ShotOrder, arranged, balanced, rank_diverse, rank_nearest, rank_random

VECTORS = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(-2, 2).map(lambda x: round(x, 1))
)
CONTENTS = st.lists(st.text(max_size=4), min_size=1, max_size=10, unique=True)


@given(CONTENTS, st.integers(0, 2**64 - 1), st.randoms())
def test_a_random_choice_depends_on_the_seed_and_the_examples_alone(contents, seed, random) -> None:
    """The order of the pool does not matter, and an added example only takes one place."""
    ranked = [contents[index] for index in rank_random(contents, seed)]
    assert sorted(ranked) == sorted(contents)
    shuffled = random.sample(contents, len(contents))
    assert [shuffled[index] for index in rank_random(shuffled, seed)] == ranked
    fewer = shuffled[1:]
    assert [fewer[index] for index in rank_random(fewer, seed)] == [one for one in ranked if one != shuffled[0]]


def test_random_choices_are_even_and_seeds_differ() -> None:
    firsts = Counter(rank_random(["a", "b", "c", "d"], seed)[0] for seed in range(2000))
    assert all(abs(firsts[index] - 500) < 100 for index in range(4))  # 5 standard deviations are 97


@given(VECTORS, st.integers(0, 7))
def test_nearest_is_by_cosine_and_equals_stay_in_order(pool, place) -> None:
    query = pool[place % len(pool)]
    similar = cosine_similarity(pool, query[None])[:, 0].round(9)
    ranked = rank_nearest(query, pool)
    assert sorted(ranked) == list(range(len(pool)))
    assert (np.diff(similar[ranked]) <= 1e-8).all()


def test_equals_stay_in_the_order_of_the_pool() -> None:
    pool = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    assert rank_nearest(np.array([1.0, 0.0]), pool) == [1, 2, 4, 0, 3]


def naive_mmr(pool, query, relevance) -> list[int]:
    """Carbonell & Goldstein (1998), as the formula is printed."""
    alike, asked = cosine_similarity(pool), cosine_similarity(pool, query[None])[:, 0]
    chosen: list[int] = []
    while len(chosen) < len(pool):
        left = [index for index in range(len(pool)) if index not in chosen]
        worth = {
            index: relevance * asked[index]
            - (1 - relevance) * (max(alike[index, other] for other in chosen) if chosen else 0.0)
            for index in left
        }
        chosen.append(max(left, key=lambda index: worth[index]))
    return chosen


@pytest.mark.parametrize("relevance", [0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_diverse_is_maximal_marginal_relevance(relevance: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    pool, query = draw.normal(size=(20, 5)), draw.normal(size=5)
    expected = naive_mmr(pool, query, relevance)
    assert rank_diverse(pool, query, relevance=relevance) == expected
    assert rank_diverse(pool, query, relevance=relevance, most=4) == expected[:4]


def test_relevance_alone_is_nearest() -> None:
    draw = np.random.default_rng(3)
    pool, query = draw.normal(size=(20, 5)), draw.normal(size=5)
    assert rank_diverse(pool, query, relevance=1.0) == rank_nearest(query, pool)


@pytest.mark.parametrize("seed", range(5))
def test_without_a_question_the_farthest_comes_next(seed: int) -> None:
    pool = np.random.default_rng(seed).normal(size=(15, 4))
    alike = cosine_similarity(pool)
    ranked = rank_diverse(pool)
    assert ranked[0] == int(alike.sum(axis=0).argmax())
    for number in range(1, len(pool)):
        closest = alike[:, ranked[:number]].max(axis=1)
        closest[ranked[:number]] = np.inf
        assert ranked[number] == int(closest.argmin())


@given(VECTORS)
def test_diverse_ranks_everything_once(pool) -> None:
    assert sorted(rank_diverse(pool, pool[0])) == list(range(len(pool)))
    assert sorted(rank_diverse(pool)) == list(range(len(pool)))


def test_an_empty_pool_and_a_relevance_out_of_range() -> None:
    assert rank_diverse(np.zeros((0, 3))) == []
    with pytest.raises(ConfigError, match=r"relevance=1.5 is outside 0..1"):
        rank_diverse(np.zeros((1, 3)), relevance=1.5)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.randoms())
def test_labels_take_turns(labels, random) -> None:
    ranking = random.sample(range(len(labels)), len(labels))
    found = balanced(labels, ranking)
    assert sorted(found) == sorted(ranking)
    for label in set(labels):  # of one label, in the order of the ranking
        assert [i for i in found if labels[i] == label] == [i for i in ranking if labels[i] == label]
    totals = Counter(labels)
    for number in range(len(found) + 1):
        counts = Counter(labels[index] for index in found[:number])
        open_ones = [counts[label] for label in totals if counts[label] < totals[label]]
        most = max(counts.values(), default=0)
        assert all(most - count <= 1 for count in open_ones)


def test_the_best_stands_last_or_first() -> None:
    assert arranged([3, 1, 2], ShotOrder.BEST_LAST) == [2, 1, 3]
    assert arranged([3, 1, 2], ShotOrder.BEST_FIRST) == [3, 1, 2]
