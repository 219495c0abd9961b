"""pass@k against every choice of k programs, and exact binomials where there are too many choices."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.metrics.pass_at_k import pass_at_k

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_draws_with_a_program_that_passes(counts: tuple[int, int, int]) -> None:
    written, passed, k = counts
    draws = list(itertools.combinations([True] * passed + [False] * (written - passed), k))
    assert pass_at_k(written, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


@given(COUNTS)
def test_many_programs_neither_overflow_nor_lose_digits(counts: tuple[int, int, int]) -> None:
    written, passed, k = counts
    exact = 1 - Fraction(math.comb(written - passed, k), math.comb(written, k))
    assert pass_at_k(written, passed, k) == pytest.approx(float(exact), abs=1e-12)


def test_one_try_is_the_share() -> None:
    assert pass_at_k(200, 13, 1) == pytest.approx(13 / 200)
    assert pass_at_k(200, 0, 100) == 0.0


def test_impossible_estimates_are_refused() -> None:
    with pytest.raises(InputError, match="pass@10 of 5 programs is not defined; write at least 10"):
        pass_at_k(5, 1, 10)
    with pytest.raises(InputError, match="6 of 5 programs passed"):
        pass_at_k(5, 6, 1)
