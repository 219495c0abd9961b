"""Keys and values of the writing rows, side by side, so that no pass gathers their blocks again.

A writing sequence brings one token a pass, and its earlier keys and values lie in scattered blocks.  Gathering
them for every pass costs as much as the attention itself.  So rows that bring one token each keep a copy in place:
new vectors go into the blocks and into the copy, and attention reads the copy directly.

A row is recognised by the block of its last position and its number of positions: the scheduler lets no other row
write into that block.  Any other write into a block makes its copy invalid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lavra.base.ports import ForwardRow
from lavra.engine.runners.stores import BlockStore
from lavra.model.cache import Step

_LEAST_SPAN = 128  # positions a copy has room for at first; doubled when they are used up

Key = tuple[int, int]  # the block that holds the last position, and how many positions there are


class Resident:
    """Copies of all layers, one row for each sequence.

    Args:
        stores: keys and values of each layer, in blocks.
        num_blocks: number of blocks of a store.
        block_size: positions in a block.
        shape: (K, C) of a vector.
        dtype: type of the copies that attention reads.
        device: device of the copies.
    """

    def __init__(
        self,
        stores: Sequence[tuple[BlockStore, BlockStore]],
        num_blocks: int,
        block_size: int,
        shape: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._stores, self._block_size, self._shape = stores, block_size, shape
        self._dtype, self._device, self._most = dtype, device, num_blocks * block_size
        self._copies: list[tuple[Tensor, Tensor]] = []  # (rows, K, span, C) keys and values of each layer
        self._rows: list[Key | None] = []  # the contents of each row

    def fits(self, rows: Sequence[ForwardRow]) -> bool:
        """Whether their copies would take no more memory than the blocks themselves."""
        return len(rows) * (max(row.start for row in rows) + 1) <= self._most

    def arrange(self, rows: Sequence[ForwardRow]) -> list[int]:
        """Bring the rows' copies into places 0 to B - 1; gives, for each place, which of the rows is there."""
        self._make_room(len(rows), max(row.start for row in rows) + 1)
        places = {key: place for place, key in enumerate(self._rows) if key is not None}
        found = [places.pop(self._key(row), None) for row in rows]
        free = sorted(set(range(len(rows))) - set(found))
        order = [0] * len(rows)
        for number, (row, place) in enumerate(zip(rows, found, strict=True)):
            target = place if place is not None and place < len(rows) else free.pop()
            if place is None:
                self._gather(row, target)
            elif place != target:
                self._move(place, target)
            order[target] = number
        # After this pass each row is one position longer.
        grown: list[Key | None] = [
            (self._block(rows[number], rows[number].start), rows[number].start + 1) for number in order
        ]
        self._rows = grown + [None] * (len(self._rows) - len(rows))
        return order

    def forget(self, blocks: Iterable[int]) -> None:
        """Forget the copies of these blocks, which were written to from elsewhere."""
        gone = set(blocks)
        self._rows = [None if key is not None and key[0] in gone else key for key in self._rows]

    def append(
        self, layer: int, places: tuple[Tensor, Tensor], keys: Tensor, values: Tensor, span: int
    ) -> tuple[Tensor, Tensor]:
        """Put (B, K, C) vectors at rows (B,), positions (B,); returns all vectors of the rows, each (B, span, K, C)."""
        numbers, starts = places
        count = len(starts)
        held_keys, held_values = self._copies[layer]
        held_keys[numbers, :, starts] = keys
        held_values[numbers, :, starts] = values
        return held_keys[:count, :, :span].transpose(1, 2), held_values[:count, :, :span].transpose(1, 2)

    def clear(self) -> None:
        """Free the memory."""
        self._copies, self._rows = [], []

    def _key(self, row: ForwardRow) -> Key:
        return (self._block(row, row.start - 1), row.start) if row.start else (-1, 0)

    def _block(self, row: ForwardRow, position: int) -> int:
        return row.blocks[position // self._block_size]

    def _make_room(self, count: int, span: int) -> None:
        rows, held = (self._copies[0][0].shape[0], self._copies[0][0].shape[2]) if self._copies else (0, _LEAST_SPAN)
        length = held
        while length < span:
            length *= 2
        if count <= rows and length == held:
            return
        heads, channels = self._shape
        shape = (max(count, 2 * rows if count > rows else rows), heads, length, channels)
        self._copies = [(self._blank(shape), self._blank(shape)) for _ in self._stores]
        self._rows = [None] * shape[0]

    def _blank(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)

    def _gather(self, row: ForwardRow, place: int) -> None:
        if not row.start:
            return
        used = -(-row.start // self._block_size)
        blocks = torch.tensor(row.blocks[:used], device=self._device)
        for stores, copies in zip(self._stores, self._copies, strict=True):
            for store, copy in zip(stores, copies, strict=True):
                copy[place, :, : row.start] = store.read(blocks, self._dtype).flatten(0, 1)[: row.start].transpose(0, 1)

    def _move(self, old: int, new: int) -> None:
        for keys, values in self._copies:
            keys[new] = keys[old]
            values[new] = values[old]


class ResidentCache:
    """The cache the model sees for rows of one new token each; it has the methods of `lavra.model.cache.Cache`."""

    def __init__(
        self,
        resident: Resident,
        stores: Sequence[tuple[BlockStore, BlockStore]],
        rows: Sequence[ForwardRow],
        block_size: int,
        device: torch.device,
    ) -> None:
        self._resident, self._stores = resident, stores
        self.source: list[tuple[Tensor, Tensor]] = []
        self.source_mask: Tensor | None = None
        self.batch_size = len(rows)
        starts = [row.start for row in rows]
        positions = torch.tensor(starts, device=device)
        places = [row.blocks[row.start // block_size] * block_size + row.start % block_size for row in rows]
        self._places = torch.tensor(places, device=device)
        start = starts[0] if min(starts) == max(starts) else None
        slots = positions[:, None]
        self._rows_and_starts = torch.arange(len(rows), device=device), positions
        self._step = Step(slots, None, start, max(starts) + 1, positions + 1, slots)

    def plan(self, num_tokens: int, real: Tensor | None, positions: Tensor | None) -> Step:
        """The slots of the new tokens, decided when the cache was made."""
        assert num_tokens == 1
        assert real is None
        assert positions is None
        return self._step

    def write(self, layer: int, step: Step, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, 1, K, C) keys and values; return those of all slots in use, each (B, S, K, C)."""
        into_keys, into_values = self._stores[layer]
        kept_keys = into_keys.write(self._places, keys[:, 0])
        kept_values = into_values.write(self._places, values[:, 0])
        return self._resident.append(layer, self._rows_and_starts, kept_keys, kept_values, step.span)

    def write_positions(self, step: Step) -> Tensor:
        """Positions of all slots in use, (1, S): a slot's number."""
        return torch.arange(step.span, device=step.slots.device)[None]

    def commit(self, step: Step) -> None:
        """Do nothing: the code that made the cache counts tokens."""
