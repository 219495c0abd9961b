"""Shingles and MinHash against plain Python sets."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.text.minhash import Bands, MinHash, band_keys, choose_bands, estimate_jaccard
from lavra.text.planted import edited, true_jaccard
from lavra.text.shingles import Shingler
from tests.text.conftest import MakeText
from tests.text.naive import naive_shingles

SHINGLER = Shingler(5)
TEXTS = st.lists(
    st.text(st.sampled_from("abAB01_ .,\n-é漢字😀"), max_size=40), min_size=1, max_size=6
)  # a small alphabet, so that shingles meet again


@given(TEXTS)
def test_shingles_are_equal_exactly_when_their_words_are(texts: list[str]) -> None:
    shingles, offsets = SHINGLER([text.encode() for text in texts])
    expected = [naive_shingles(text) for text in texts]
    assert offsets.tolist() == np.cumsum([0, *map(len, expected)])[:-1].tolist()
    by_hash: dict[int, tuple[str, ...]] = {}
    by_words: dict[tuple[str, ...], int] = {}
    for value, words in zip(shingles.tolist(), (each for text in expected for each in text), strict=True):
        assert by_hash.setdefault(value, words) == words
        assert by_words.setdefault(words, value) == value


@given(TEXTS)
def test_a_batch_is_its_texts_one_by_one(texts: list[str]) -> None:
    minhash = MinHash(32)
    together = minhash.signatures(*SHINGLER([text.encode() for text in texts]))
    alone = [minhash.signatures(*SHINGLER([text.encode()]))[0] for text in texts]
    assert np.array_equal(together, np.stack(alone))


def test_case_spacing_and_punctuation_do_not_count() -> None:
    texts = [b"The quick brown fox jumps over it", b"the  quick,\n\tBROWN fox (jumps) over it!"]
    signatures = MinHash().signatures(*SHINGLER(texts))
    assert np.array_equal(signatures[0], signatures[1])


def test_the_estimate_is_unbiased_and_as_precise_as_theory_says(make_text: MakeText) -> None:
    """128 minima estimate J with a standard deviation of sqrt(J(1-J)/128)."""
    chooser = random.Random(3)
    errors = []
    for seed in range(150):
        original = make_text(seed, 300)
        copy = edited(original, 0.03, chooser)
        a, b = set(naive_shingles(original)), set(naive_shingles(copy))
        exact = len(a & b) / len(a | b)
        assert true_jaccard(original, copy, SHINGLER) == pytest.approx(exact)
        signatures = MinHash().signatures(*SHINGLER([original.encode(), copy.encode()]))
        estimate = estimate_jaccard(signatures[:1], signatures[1:])[0]
        errors.append((estimate - exact) / np.sqrt(exact * (1 - exact) / 128))
    assert abs(np.mean(errors)) < 3.5 / np.sqrt(len(errors))
    assert 0.8 < np.std(errors) < 1.25


def test_bands_are_the_narrowest_step_that_finds_enough() -> None:
    bands = choose_bands(128, 0.8)
    assert bands == Bands(21, 6)
    assert bands.recall(0.8) == pytest.approx(1 - (1 - 0.8**6) ** 21)
    assert bands.recall(0.8) >= 0.99 > Bands(18, 7).recall(0.8)
    for threshold in (0.3, 0.5, 0.9, 1.0):
        assert choose_bands(128, threshold).recall(threshold) >= 0.99


def test_a_band_key_is_equal_when_its_rows_are() -> None:
    signatures = np.random.default_rng(0).integers(0, 3, (200, 12), dtype=np.uint32)
    keys = band_keys(signatures, Bands(4, 3))
    assert keys.shape == (4, 200)
    for band in range(4):
        rows = [tuple(row) for row in signatures[:, band * 3 : band * 3 + 3].tolist()]
        assert len(set(zip(rows, keys[band].tolist(), strict=True))) == len(set(rows)) == len(set(keys[band].tolist()))
