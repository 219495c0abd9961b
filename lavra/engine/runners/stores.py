"""Stores of keys and values: one slot for each position, `block_size` slots a block; as floats, or rounded integers."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class BlockStore(Protocol):
    """Vectors of every slot of every block of one layer: keys, or values."""

    def write(self, slots: Tensor, vectors: Tensor) -> Tensor:
        """Put (n, K, C) vectors into (n,) slots; returns them as they will be read."""
        ...

    def read(self, blocks: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """The vectors of blocks, (..., block_size, K, C)."""
        ...

    def copy(self, old: Tensor, new: Tensor) -> None:
        """Copy blocks to other blocks."""
        ...


def blank(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on a CPU in memory that the kernel provides at the first write.

    A cache for many long texts is gigabytes, of which most requests use little: `torch.zeros` would write to all of it.
    """
    if device.type != "cpu":
        return torch.zeros(*shape, dtype=dtype, device=device)
    count = math.prod(shape)
    return torch.frombuffer(mmap.mmap(-1, max(1, count * dtype.itemsize)), dtype=dtype, count=count).view(*shape)


class FloatStore:
    """A store of vectors as floats."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self._data = blank(shape, dtype, device)  # (blocks, block_size, K, C)

    def write(self, slots: Tensor, vectors: Tensor) -> Tensor:
        """See `BlockStore`."""
        kept = vectors.to(self._data.dtype)
        self._data.flatten(0, 1).index_copy_(0, slots, kept)
        return kept.to(vectors.dtype)

    def read(self, blocks: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """See `BlockStore`; a view if the blocks are neighbours and of that type."""
        return self._data[blocks].to(dtype)

    def copy(self, old: Tensor, new: Tensor) -> None:
        """See `BlockStore`."""
        self._data[new] = self._data[old]


class Int8Store:
    """Vectors as integers, each head of each token with a scale and a middle of its own.

    The 255 steps lie between the smallest and the largest channel, not around zero: the few channels of a key are
    seldom balanced, and scores are large, so that a coarser step changes the softmax (docs/compression.md, figures).
    """

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        self._data = blank(shape, torch.int8, device)  # (blocks, block_size, K, C)
        self._scale = blank((*shape[:-1], 1), torch.bfloat16, device)
        self._middle = blank((*shape[:-1], 1), torch.bfloat16, device)

    def write(self, slots: Tensor, vectors: Tensor) -> Tensor:
        """See `BlockStore`."""
        wide = vectors.float()
        low, high = wide.aminmax(dim=-1, keepdim=True)
        middle = ((high + low) / 2).bfloat16()  # the integers make up for its rounding
        scale = (torch.maximum(high - middle, middle - low) / 127).bfloat16()
        scale = torch.where(scale == 0, torch.ones_like(scale), scale)
        kept = ((wide - middle) / scale).round().to(torch.int8)
        for store, new in ((self._data, kept), (self._scale, scale), (self._middle, middle)):
            store.flatten(0, 1).index_copy_(0, slots, new)
        return (kept * scale.float() + middle).to(vectors.dtype)

    def read(self, blocks: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """See `BlockStore`."""
        return (self._data[blocks] * self._scale[blocks].float() + self._middle[blocks]).to(dtype)

    def copy(self, old: Tensor, new: Tensor) -> None:
        """See `BlockStore`."""
        for store in (self._data, self._scale, self._middle):
            store[new] = store[old]
