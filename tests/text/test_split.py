"""The split: stable, disjoint, whole clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.text.dedup import Clusters
from lavra.text.split import held_out, split_position


def clusters(first: list[int], key: list[int] | None = None) -> Clusters:
    roots = np.array(first, dtype=np.int64)
    keys = np.array(key if key is not None else [position * 7919 for position in range(len(first))], dtype=np.uint64)
    return Clusters(first=roots, first_equal=np.arange(len(first)), key=keys, num_candidates=0, num_joined=0)


ROOTS = st.lists(st.integers(0, 50), min_size=2, max_size=60).map(
    lambda raw: [min(value, place) if value < place else place for place, value in enumerate(raw)]
)


def flat(first: list[int]) -> list[int]:
    """Every document points at the root itself."""
    out: list[int] = []
    for place, value in enumerate(first):
        out.append(place if value == place else out[value])
    return out


@given(ROOTS.map(flat), st.integers(0, 2**63 - 1), st.floats(0.01, 0.99))
def test_clusters_stay_together_and_both_sides_have_some(first: list[int], seed: int, fraction: float) -> None:
    found = clusters(first)
    if len(set(first)) < 2:
        with pytest.raises(InputError, match="needs at least 2"):
            held_out(found, seed=seed, fraction=fraction)
        return
    out = held_out(found, seed=seed, fraction=fraction)
    assert out.any()
    assert not out.all()
    for root in set(first):
        assert len({bool(side) for side, own in zip(out, first, strict=True) if own == root}) == 1
    assert np.array_equal(out, held_out(found, seed=seed, fraction=fraction))


def test_new_documents_move_no_old_one() -> None:
    keys = list(range(1, 2000))
    before = held_out(clusters(list(range(1000)), keys[:1000]), seed=1, fraction=0.05)
    after = held_out(clusters(list(range(1999)), keys), seed=1, fraction=0.05)
    assert np.array_equal(before, after[:1000])


def test_positions_are_uniform_and_independent_between_seeds() -> None:
    keys = np.arange(200_000, dtype=np.uint64)  # as little random as keys can be
    first, second = split_position(keys, 0), split_position(keys, 1)
    assert np.abs(np.histogram(first, 20, (0, 1))[0] / 10_000 - 1).max() < 0.05
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert (first >= 0).all()
    assert (first < 1).all()


def test_the_fraction_is_what_was_asked_for() -> None:
    out = held_out(clusters(list(range(20_000))), seed=3, fraction=0.05)
    assert 0.045 < out.mean() < 0.055


def test_the_larger_side_of_a_tiny_corpus_is_the_asked_one() -> None:
    for seed in range(50):
        assert held_out(clusters([0, 1, 2]), seed=seed, fraction=0.001).sum() == 1
        assert held_out(clusters([0, 1, 2]), seed=seed, fraction=0.999).sum() == 2
