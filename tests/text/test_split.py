"""The split: a share of the bytes, stable, whole units."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.text.split import LEAST_BYTES, held_out, heldout_target, split_position


def split(sizes: list[int], *, seed: int, fraction: float, keys: list[int] | None = None) -> list[bool]:
    keys = [number * 7919 for number in range(len(sizes))] if keys is None else keys
    found = held_out(np.array(keys, dtype=np.uint64), np.array(sizes, dtype=np.int64), seed=seed, fraction=fraction)
    return found.tolist()


def taken(sizes: list[int], out: list[bool]) -> int:
    return sum(size for size, is_out in zip(sizes, out, strict=True) if is_out)


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=60), st.integers(0, 2**63 - 1), st.floats(0.01, 0.99))
def test_both_sides_have_some_and_the_share_is_as_near_as_a_unit_allows(
    sizes: list[int], seed: int, fraction: float
) -> None:
    out = split(sizes, seed=seed, fraction=fraction)
    assert out == split(sizes, seed=seed, fraction=fraction)
    assert any(out)
    assert not all(out)
    off = abs(taken(sizes, out) - heldout_target(sum(sizes), fraction))
    assert off <= max(0.05 * heldout_target(sum(sizes), fraction), max(sizes))


def test_one_unit_cannot_be_divided() -> None:
    with pytest.raises(InputError, match="needs at least 2"):
        split([100], seed=0, fraction=0.5)


@given(st.integers(0, 1000))
def test_the_share_counts_bytes_not_documents(seed: int) -> None:
    """A thousand short texts beside a few long ones: a split that counts texts would hold out almost no bytes."""
    chooser = random.Random(seed)
    sizes = [chooser.randrange(100, 300) for _ in range(1000)] + [chooser.randrange(20_000, 60_000) for _ in range(30)]
    share = taken(sizes, split(sizes, seed=seed, fraction=0.05)) / sum(sizes)
    assert 0.0475 <= share <= 0.0525


def test_little_text_has_a_least_side() -> None:
    assert heldout_target(1_000_000, 0.05) == 50_000
    assert heldout_target(100_000, 0.01) == LEAST_BYTES
    assert heldout_target(100_000, 0.99) == 100_000 - LEAST_BYTES
    assert heldout_target(10_000, 0.05) == 1000  # a tenth of it is less
    assert heldout_target(10_000, 0.3) == 3000


def test_documents_that_are_added_move_few_others() -> None:
    chooser = random.Random(1)
    sizes, keys = [chooser.randrange(200, 9000) for _ in range(1100)], [chooser.randrange(2**63) for _ in range(1100)]
    before = split(sizes[:1000], seed=1, fraction=0.05, keys=keys[:1000])
    after = split(sizes, seed=1, fraction=0.05, keys=keys)[:1000]
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    # A twentieth of the texts is held out; drawn anew, about twice as many would change sides.
    assert moved < 0.2 * sum(before)


def test_positions_are_uniform_and_independent_between_seeds() -> None:
    keys = np.arange(200_000, dtype=np.uint64)  # as little random as keys can be
    first, second = split_position(keys, 0), split_position(keys, 1)
    assert np.abs(np.histogram(first, 20, (0, 1))[0] / 10_000 - 1).max() < 0.05
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert (first >= 0).all()
    assert (first < 1).all()
