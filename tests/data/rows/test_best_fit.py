"""Packing: every sequence in one row, no row above its limit, and few rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lavra.data.rows.best_fit import best_fit

ROOM, SECOND = 32, 12


def plain(lengths: list[int], room: int) -> list[int]:
    """Lengths of rows by best-fit decreasing, trying every row."""
    taken: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [row for row, filled in enumerate(taken) if filled + length <= room]
        if fitting:
            taken[max(fitting, key=lambda row: taken[row])] += length
        else:
            taken.append(length)
    return sorted(taken)


@given(lengths=st.lists(st.integers(1, ROOM), max_size=60))
def test_rows_are_those_of_best_fit_decreasing(lengths: list[int]) -> None:
    rows = best_fit(lengths, ROOM)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert sorted(sum(lengths[number] for number in row) for row in rows) == plain(lengths, ROOM)


@given(pairs=st.lists(st.tuples(st.integers(1, ROOM), st.integers(0, SECOND)), max_size=60))
def test_both_lengths_fit(pairs: list[tuple[int, int]]) -> None:
    lengths, seconds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = best_fit(lengths, ROOM, seconds, SECOND)
    assert sorted(number for row in rows for number in row) == list(range(len(pairs)))
    for row in rows:
        assert sum(lengths[number] for number in row) <= ROOM
        assert sum(seconds[number] for number in row) <= SECOND


def test_many_sequences_take_no_time() -> None:
    lengths = [1 + number * 7919 % 2048 for number in range(20_000)]
    rows = best_fit(lengths, 2048, [length // 8 for length in lengths], 256)
    assert len(rows) < 1.05 * sum(lengths) / 2048
