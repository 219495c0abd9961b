"""Sequences of unlike lengths into few rows: the longest first, each where it leaves the least space.

Best-fit decreasing keeps every sequence whole (Ding et al. 2024, "Fewer Truncations Improve Language Modeling").  With
a second length (an encoder-decoder's targets) both must fit; few rows are then looked at, so packing takes no longer.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

_MOST_TRIES = 64  # rows looked at for a sequence whose second length does not fit the first one found


def best_fit(
    lengths: Sequence[int], capacity: int, seconds: Sequence[int] | None = None, second_capacity: int = 0
) -> list[tuple[int, ...]]:
    """The sequences of each row; the same for the same lengths.

    Args:
        lengths: length of each sequence, at most `capacity`.
        capacity: capacity of each row.
        seconds: another length of each sequence, at most `second_capacity`.
        second_capacity: capacity of each row in the second length.
    """
    rows: list[list[int]] = []
    left: list[int] = []  # free space of each row in the second length
    by_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # sorted keys of by_room
    for sequence in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        need = 0 if seconds is None else seconds[sequence]
        found = _find(lengths[sequence], need, rooms, by_room, left)
        if found is None:
            row, free = len(rows), capacity
            rows.append([])
            left.append(second_capacity)
        else:
            free, place = found
            row = by_room[free].pop(place)
            if not by_room[free]:
                del by_room[free]
                rooms.remove(free)
        rows[row].append(sequence)
        left[row] -= need
        free -= lengths[sequence]
        if free not in by_room:
            insort(rooms, free)
        by_room.setdefault(free, []).append(row)
    return [tuple(row) for row in rows]


def _find(
    need: int, second: int, rooms: list[int], by_room: dict[int, list[int]], left: list[int]
) -> tuple[int, int] | None:
    """(free space, place among the rows with as much) of the fullest row that takes a sequence."""
    tries = 0
    for at in range(bisect_left(rooms, need), len(rooms)):
        alike = by_room[rooms[at]]
        for place in range(len(alike) - 1, -1, -1):
            if left[alike[place]] >= second:
                return rooms[at], place
            tries += 1
            if tries == _MOST_TRIES:
                return None
    return None
