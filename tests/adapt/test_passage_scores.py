"""Scores of passages: BM25 against its formula, vectors against single cosines."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.adapt.passage_scores import Bm25Scores, VectorScores, best_places, words
from lavra.base.errors import InputError

TEXT = st.lists(st.sampled_from(["cat", "dog", "rug", "a"]), max_size=6).map(" ".join)


def naive_bm25(query, passage, passages, k1=1.5, b=0.75):
    """Robertson & Zaragoza 2009 with Lucene's idf and without its constant (k1 + 1)."""
    split = [one.split() for one in passages]
    # bm25s measures a passage without words by the one empty word it stands for.
    average = sum(max(len(one), 1) for one in split) / len(split)
    counts, length, total = Counter(passage.split()), max(len(passage.split()), 1), 0.0
    for word in query.split():
        holding = sum(word in one for one in split)
        if holding:
            idf = math.log(1 + (len(split) - holding + 0.5) / (holding + 0.5))
            total += idf * counts[word] / (counts[word] + k1 * (1 - b + b * length / average))
    return total


@given(st.lists(TEXT, min_size=1, max_size=6), TEXT)
def test_bm25_is_the_formula(passages, query):
    index = Bm25Scores(passages)
    assert index.passages == tuple(dict.fromkeys(passages))
    (found,) = index.scores([query])
    expected = [naive_bm25(query, passage, index.passages) for passage in index.passages]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def readJSON_file(path2):", ["def", "read", "json", "file", "path2"]),
        ("HTTPServer.doGET __init__", ["http", "server", "do", "get", "init"]),
        ("3.14 ABC x1y2", ["3", "14", "abc", "x1", "y2"]),
        ("Łódź, Ação; Привет!", ["łódź", "ação", "привет"]),
        ("?! _", []),
    ],
)
def test_words_of_text_and_code(text, expected):
    assert words(text) == expected


@given(st.text(max_size=40))
def test_no_letter_or_digit_is_lost(text):
    runs = "".join(one if one.isalnum() else " " for one in text).split(" ")
    assert "".join(words(text)) == "".join(run.lower() for run in runs)


def embed(texts):
    """Four numbers computed from a text."""
    return np.array([[len(text), text.count("a"), text.count("b"), 1.0] for text in texts], dtype=np.float32)


@pytest.mark.parametrize("size", [None, 2])
def test_vectors_are_compared_by_the_cosine(size):
    passages, queries = ["aab", "b", "aab", "abba"], ["ab", "bb"]
    found = VectorScores(embed, passages, size=size)
    assert found.passages == ("aab", "b", "abba")
    for query, row in zip(embed(queries)[:, :size], found.scores(queries), strict=True):
        for passage, score in zip(embed(found.passages)[:, :size], row, strict=True):
            expected = query @ passage / np.linalg.norm(query) / np.linalg.norm(passage)
            assert score == pytest.approx(expected, abs=1e-5)


def test_vectors_that_differ_by_rounding_are_equal():
    """A model that gives every text the same vector ranks none first, whatever the matrix product rounds to."""
    draw = np.random.default_rng(0).normal(size=300).astype(np.float32)

    def same(texts):
        noise = np.random.default_rng(len(texts)).uniform(-1, 1, (len(texts), 300)).astype(np.float32)
        return draw * (1 + 2e-7 * noise)

    rows = VectorScores(same, [str(number) for number in range(33)]).scores(["a", "b"])
    assert len(np.unique(rows)) == 1


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.integers(1, 14))
def test_the_best_places_are_those_of_a_full_sort(scores, count):
    row = np.array(scores, dtype=np.float32)
    assert best_places(row, count).tolist() == np.argsort(-row, kind="stable")[:count].tolist()


def test_unscorable_input_is_refused():
    with pytest.raises(InputError, match="no passages"):
        Bm25Scores([])
    with pytest.raises(InputError, match="wrap the one text"):
        VectorScores(embed, "abc")
    with pytest.raises(InputError, match="size is 5 and vectors have 4 numbers"):
        VectorScores(embed, ["a"], size=5)
    with pytest.raises(InputError, match="vector of 'b' is not finite"):
        VectorScores(lambda texts: np.array([[math.inf if text == "b" else 1.0] for text in texts]), ["a", "b"])
