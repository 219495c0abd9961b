"""The array implementation against dictionaries, and the axioms of probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.evaluation.baselines.kneser_ney import FALLBACK_DISCOUNTS, KneserNey, estimate_discounts
from tests.evaluation.baselines.naive_kneser_ney import NaiveKneserNey

OUTSIDE_ROOM = 4


def windows(text, vocab_size, offsets):
    """Targets and neighbour columns of a text with the outside token around it."""
    stream = np.concatenate([[vocab_size] * OUTSIDE_ROOM, text, [vocab_size] * OUTSIDE_ROOM]).astype(np.int64)
    places = np.arange(len(text)) + OUTSIDE_ROOM
    return stream[places], [stream[places + offset] for offset in offsets]


texts = st.lists(st.integers(0, 4), min_size=1, max_size=120)
neighbourhoods = st.sampled_from([(), (-1,), (-1, -2), (-1, -2, -3, -4), (1, 2, 3), (-1, 1, -2, 2)])


@given(text=texts, other=st.lists(st.integers(0, 5), min_size=1, max_size=20), offsets=neighbourhoods)
def test_probabilities_are_those_of_the_dictionaries(text, other, offsets):
    targets, columns = windows(text, 6, offsets)
    fast = KneserNey.train(targets, columns, 6)
    naive = NaiveKneserNey(
        list(zip(targets, zip(*columns, strict=True) if columns else [()] * len(targets), strict=True)),
        len(offsets) + 1,
        6,
    )
    for sample in (text, other):
        targets, columns = windows(sample, 6, offsets)
        got = fast.probabilities(targets, columns)
        rows = zip(*columns, strict=True) if columns else [()] * len(targets)
        expected = [naive.probability(token, row) for token, row in zip(targets, rows, strict=True)]
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    for mine, theirs in zip(fast.discounts, naive.discounts, strict=True):
        np.testing.assert_allclose(mine, list(theirs.values()))


@pytest.mark.parametrize("offsets", [(-1, -2, -3, -4), (-1, 1, -2, 2)])
def test_estimated_discounts_are_used_on_a_text_long_enough(offsets):
    draw = np.random.default_rng(0)
    text = np.minimum(draw.zipf(1.4, size=4000) - 1, 199)
    targets, columns = windows(text, 200, offsets)
    fast = KneserNey.train(targets, columns, 200)
    naive = NaiveKneserNey(
        list(zip(targets.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)), 5, 200
    )
    assert all(found != FALLBACK_DISCOUNTS for found in fast.discounts[1:])
    other = np.minimum(draw.zipf(1.4, size=500) - 1, 199)
    targets, columns = windows(other, 200, offsets)
    expected = [
        naive.probability(*row)
        for row in zip(targets.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)
    ]
    np.testing.assert_allclose(fast.probabilities(targets, columns), expected, rtol=1e-10)


@given(text=texts, offsets=neighbourhoods, unknown=st.integers(0, 4), seed=st.integers(0, 50))
def test_every_distribution_sums_to_one_and_agrees_with_single_probabilities(text, offsets, unknown, seed):
    targets, columns = windows(text, 6, offsets)
    model = KneserNey.train(targets, columns, 6)
    draw = np.random.default_rng(seed)
    contexts = [draw.integers(0, 7, size=10) for _ in offsets]
    for column in contexts[unknown:]:
        column[::2] = -1
    table = model.distributions(contexts, 10)
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=2e-6)
    for token in range(6):
        single = model.probabilities(np.full(10, token), contexts)
        assert np.all(single > 0)
        np.testing.assert_allclose(table[:, token], single, rtol=2e-5)
    total = sum(model.probabilities(np.full(10, token), contexts) for token in range(6))
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_an_unknown_neighbour_ends_the_context():
    targets, columns = windows(np.random.default_rng(1).integers(0, 5, size=300), 6, (-1, -2, -3))
    model = KneserNey.train(targets, columns, 6)
    cut = [columns[0], np.full_like(columns[1], -1), columns[2]]
    shorter = [columns[0], np.full_like(columns[1], -1), np.full_like(columns[2], -1)]
    np.testing.assert_array_equal(model.probabilities(targets, cut), model.probabilities(targets, shorter))
    assert not np.allclose(model.probabilities(targets, cut), model.probabilities(targets, columns))


@settings(max_examples=20)
@given(vocab_size=st.sampled_from([6, 65_536]))
def test_large_vocabularies_do_not_overflow_the_keys(vocab_size):
    draw = np.random.default_rng(0)
    text = draw.integers(vocab_size - 6, vocab_size, size=400)
    targets, columns = windows(text, vocab_size, (-1, -2, -3, -4))
    fast = KneserNey.train(targets, columns, vocab_size)
    naive = NaiveKneserNey(
        list(zip(targets.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)), 5, vocab_size
    )
    expected = [
        naive.probability(*row)
        for row in zip(targets.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)
    ]
    np.testing.assert_allclose(fast.probabilities(targets, columns), expected, rtol=1e-12)


def test_discounts_by_hand():
    # n1 = 4, n2 = 2, n3 = 1, n4 = 1: Y = 4/8; D1 = 1 - 2Y(2/4), D2 = 2 - 3Y(1/2), D3 = 3 - 4Y(1/1)
    assert estimate_discounts(np.asarray([1, 1, 1, 1, 2, 2, 3, 4, 9])) == (0.5, 1.25, 1.0)
    assert estimate_discounts(np.asarray([1, 1, 2, 3])) == FALLBACK_DISCOUNTS
    # n3 far above n2 would make D2 negative and leave unseen tokens no probability
    assert estimate_discounts(np.asarray([1, 1, 2, 3, 3, 3, 3, 3, 3, 4])) == FALLBACK_DISCOUNTS
