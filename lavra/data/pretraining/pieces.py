"""Placing pieces of documents in rows, for objectives that frame each piece with tokens of their own.

Documents are taken in a shuffled order and cut where a row is full.  The placing is done once for all epochs (a
row's masks are drawn anew each time); only the order of the rows changes between epochs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int64s
from lavra.base.errors import ConfigError
from lavra.data.batch import FixedShape, Purpose, generator
from lavra.data.pretraining.dataset import TokenDataset

MIN_PIECE = 8
"""A long document is not cut for fewer tokens: the row's rest is padded, since so short a piece has no context."""


@dataclass(frozen=True, kw_only=True)
class PieceRows:
    """Pieces of documents placed in rows.

    Attributes:
        row_begins: (num_rows + 1,) first piece of each row.
        documents: (num_pieces,) the dataset's number of each piece's document.
        begins: (num_pieces,) where the piece begins in the token file.
        lengths: (num_pieces,) tokens of the document in the piece.
        num_unplaced: tokens of documents (or of their rests) too short to make a piece of.
    """

    row_begins: Int64s
    documents: Int64s
    begins: Int64s
    lengths: Int64s
    num_unplaced: int

    @property
    def num_rows(self) -> int:
        """The number of rows of an epoch."""
        return len(self.row_begins) - 1

    def pieces(self, row: int) -> range:
        """Numbers of the pieces in a row."""
        return range(int(self.row_begins[row]), int(self.row_begins[row + 1]))


class FreeSpace:
    """The free space of a row while pieces are placed in it, on one or two sides (input, target).

    `costs[side][n]` is the space that a piece of n tokens takes there; it never falls as n grows.
    """

    def __init__(self, capacities: tuple[int, ...], costs: tuple[Int64s, ...]) -> None:
        self._capacities = capacities
        self._cost = tuple(cost.tolist() for cost in costs)
        # _most[side][space] = longest piece that fits in that space, looked up once per piece placed
        self._most: tuple[list[int], ...] = tuple(
            (np.searchsorted(cost, np.arange(capacity + 1), side="right") - 1).tolist()
            for cost, capacity in zip(costs, capacities, strict=True)
        )
        self.clear()

    def clear(self) -> None:
        """Start a new row."""
        self._left = list(self._capacities)

    def longest(self) -> int:
        """The longest piece that still fits; 0 if none does."""
        return max(0, min(most[left] for most, left in zip(self._most, self._left, strict=True)))

    def take(self, length: int) -> None:
        """Place a piece of `length` tokens."""
        for side, cost in enumerate(self._cost):
            self._left[side] -= cost[length]


def pack_pieces(documents: Iterable[tuple[int, int, int]], free_space: FreeSpace, shortest: int) -> PieceRows:
    """Fill rows with pieces of documents, in order, cutting a document where its row is full.

    Args:
        documents: (number, begin, end) of each document's own tokens.
        free_space: the capacity of a row.
        shortest: a piece has at least this many tokens; shorter documents or rests are counted as unplaced.
    """
    pieces: list[tuple[int, int, int]] = []
    row_begins = [0]
    unplaced = 0
    least = min(max(MIN_PIECE, shortest), free_space.longest())
    assert least >= shortest, "a row holds no piece at all"

    def close_row() -> None:
        if len(pieces) > row_begins[-1]:
            row_begins.append(len(pieces))
        free_space.clear()

    for number, begin, end in documents:
        while end - begin >= shortest:
            length = min(free_space.longest(), end - begin)
            if length < min(end - begin, least):
                close_row()
                continue
            free_space.take(length)
            pieces.append((number, begin, length))
            begin += length
        unplaced += end - begin
    close_row()
    table: npt.NDArray[Any] = np.asarray(pieces, dtype=np.int64).reshape(-1, 3)
    return PieceRows(
        row_begins=np.asarray(row_begins, dtype=np.int64),
        documents=table[:, 0].copy(),
        begins=table[:, 1].copy(),
        lengths=table[:, 2].copy(),
        num_unplaced=unplaced,
    )


def place_documents(dataset: TokenDataset, seed: int, free_space: FreeSpace, shortest: int) -> PieceRows:
    """Place the dataset's documents, in the seed's order, in rows of pieces."""
    begins, ends = dataset.content_bounds
    order = generator(seed, 0, Purpose.DOCUMENTS).permutation(dataset.num_documents)
    return pack_pieces(
        zip(order.tolist(), begins[order].tolist(), ends[order].tolist(), strict=True), free_space, shortest
    )


class PlacedRows(FixedShape):
    """Rows of pieces, shuffled every epoch and dealt out in micro-batches; the base of masked and span batches."""

    def __init__(self, pieces: PieceRows, batch_size: int, seed: int) -> None:
        """Raise ConfigError where there are fewer rows than one batch takes."""
        self.pieces, self.batch_size, self.seed = pieces, batch_size, seed
        self.num_batches = pieces.num_rows // batch_size
        if self.num_batches < 1:
            raise ConfigError(
                f"the text fills {pieces.num_rows} rows and one batch takes {batch_size}; "
                "use more text, a smaller batch_size or a shorter sequence_length"
            )
        self._epoch: tuple[int, Int64s] | None = None

    def rows(self, index: int) -> tuple[int, list[int]]:
        """Epoch and row numbers of batch `index`."""
        epoch, step = divmod(index, self.num_batches)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, generator(self.seed, epoch, Purpose.ROWS).permutation(self.pieces.num_rows))
        return epoch, self._epoch[1][step * self.batch_size : (step + 1) * self.batch_size].tolist()

    @property
    def dropped_per_epoch(self) -> int:
        """Tokens of the rows that do not fill a last batch (on average over epochs), and of unplaced rests."""
        left_rows = self.pieces.num_rows - self.num_batches * self.batch_size
        placed = int(self.pieces.lengths.sum())
        return self.pieces.num_unplaced + round(placed * left_rows / self.pieces.num_rows)

    def name(self, epoch: int, row: int) -> str:
        """A row's name for error messages."""
        numbers = ", ".join(str(self.pieces.documents[piece]) for piece in self.pieces.pieces(row))
        return f"epoch {epoch} row {row} (documents {numbers})"
