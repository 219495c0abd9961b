"""Placing pieces in rows: nothing lost, no row too long, no unnecessary cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.data.batch import Purpose, generator
from lavra.data.pretraining.pieces import MIN_PIECE, FreeSpace, PlacedRows, pack_pieces, place_documents
from tests.data.fakes import dataset_of


def room_of(capacity, extra):
    return FreeSpace((capacity,), (np.arange(capacity - extra + 1) + extra,))


@given(
    lengths=st.lists(st.integers(0, 60), max_size=15),
    capacity=st.integers(4, 40),
    extra=st.integers(0, 2),
    shortest=st.integers(1, 2),
)
def test_pieces_cover_every_document_in_order(lengths, capacity, extra, shortest):
    begins = np.cumsum([0, *lengths])
    documents = [(number, int(begins[number]), int(begins[number + 1])) for number in range(len(lengths))]
    rows = pack_pieces(documents, room_of(capacity, extra), shortest)
    used = [sum(int(rows.lengths[piece]) + extra for piece in rows.pieces(row)) for row in range(rows.num_rows)]
    assert all(0 < total <= capacity for total in used)
    assert int(rows.lengths.sum()) + rows.num_unplaced == sum(lengths)
    for number, begin, end in documents:
        mine = np.flatnonzero(rows.documents == number)
        assert np.all(np.diff(mine) == 1)
        places = [
            place
            for piece in mine
            for place in range(int(rows.begins[piece]), int(rows.begins[piece] + rows.lengths[piece]))
        ]
        assert places == list(range(begin, begin + len(places)))
        assert end - begin - len(places) < shortest
    # A row ends where the next piece would have fewer than MIN_PIECE tokens left, never earlier.
    assert all(total + extra + max(MIN_PIECE, shortest) > capacity for total in used[:-1])


def test_two_sides_stop_at_whichever_is_full_first():
    room = FreeSpace((100, 10), (np.arange(101), np.arange(0, 202, 2)))
    rows = pack_pieces([(0, 0, 12)], room, 1)
    assert rows.lengths.tolist() == [5, 5, 2]


def test_rows_are_dealt_out_once_an_epoch_in_another_order(tmp_path):
    data = dataset_of(tmp_path / "t", [50] * 7)
    rows = PlacedRows(place_documents(data, 1, room_of(20, 2), 1), batch_size=4, seed=1)
    epochs = [[rows.rows(epoch * rows.num_batches + step) for step in range(rows.num_batches)] for epoch in range(2)]
    for epoch, dealt in enumerate(epochs):
        assert all(number == epoch for number, _ in dealt)
        numbers = [row for _, batch in dealt for row in batch]
        assert len(set(numbers)) == len(numbers) == rows.pieces.num_rows // 4 * 4
    assert epochs[0] != [(0, batch) for _, batch in epochs[1]]
    assert rows.pieces.documents[0] == generator(1, 0, Purpose.DOCUMENTS).permutation(7)[0]


def test_fewer_rows_than_a_batch_is_an_error(tmp_path):
    data = dataset_of(tmp_path / "t", [10])
    with pytest.raises(ConfigError, match="fills 1 rows and one batch takes 2"):
        PlacedRows(place_documents(data, 0, room_of(20, 2), 1), batch_size=2, seed=0)
