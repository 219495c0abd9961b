"""Where keys and values lie: one slot a position, `block_size` of them a block; as floats, or as rounded integers."""

from __future__ import annotations

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
        """Make blocks equal to others."""
        ...


class FloatStore:
    """Vectors as floats."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self._data = torch.zeros(*shape, dtype=dtype, device=device)  # (blocks, block_size, K, C)

    def write(self, slots: Tensor, vectors: Tensor) -> Tensor:
        """As `BlockStore`."""
        kept = vectors.to(self._data.dtype)
        self._data.flatten(0, 1).index_copy_(0, slots, kept)
        return kept.to(vectors.dtype)

    def read(self, blocks: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """As `BlockStore`; a view where the blocks are neighbours and of that type."""
        return self._data[blocks].to(dtype)

    def copy(self, old: Tensor, new: Tensor) -> None:
        """As `BlockStore`."""
        self._data[new] = self._data[old]


class Int8Store:
    """Vectors as integers, each head of each token with a scale of its own."""

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        self._data = torch.zeros(*shape, dtype=torch.int8, device=device)  # (blocks, block_size, K, C)
        self._scale = torch.ones(*shape[:-1], 1, dtype=torch.float32, device=device)

    def write(self, slots: Tensor, vectors: Tensor) -> Tensor:
        """As `BlockStore`."""
        scale = vectors.float().abs().amax(dim=-1, keepdim=True) / 127
        scale = torch.where(scale == 0, torch.ones_like(scale), scale)
        kept = (vectors / scale).round().to(torch.int8)
        self._data.flatten(0, 1).index_copy_(0, slots, kept)
        self._scale.flatten(0, 1).index_copy_(0, slots, scale)
        return (kept * scale).to(vectors.dtype)

    def read(self, blocks: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """As `BlockStore`."""
        return (self._data[blocks] * self._scale[blocks]).to(dtype)

    def copy(self, old: Tensor, new: Tensor) -> None:
        """As `BlockStore`."""
        self._data[new], self._scale[new] = self._data[old], self._scale[old]
