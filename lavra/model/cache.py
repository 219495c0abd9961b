"""Keys and values of the tokens a model has read, so that each new token costs one column of attention.

Rows are stored without their padding: token n of a row is in slot n, whatever side the batch was padded on.  A
row therefore holds exactly the numbers it would hold alone, which is why batched generation equals single generation.
`Cache` is the interface that a model needs.  `KVCache` is preallocated and contiguous; a paged cache is the engine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lavra.base.errors import ContextLengthError, InputError


@dataclass(frozen=True)
class Step:
    """The slots of the tokens of one forward pass.

    Attributes:
        slots: (B, T) slot of each token; for padding the slot of the last real token before it.
        real: (B, T) False where a token is padding, `None` when none is.
        start: first slot when all rows write the same slots, `None` otherwise.
        span: slots in use in the fullest row after this pass.
        lengths: (B,) tokens in each row after this pass.
        positions: (B|1, T) positions of the tokens.
        sees: (B, T, S) True where a token attends to a slot, if slot order does not decide it (texts that branch).
    """

    slots: Tensor
    real: Tensor | None
    start: int | None
    span: int
    lengths: Tensor
    positions: Tensor
    sees: Tensor | None = None


class Cache(Protocol):
    """The interface of a cache in a forward pass.

    Attributes:
        source: cross-attention (keys, values) of each layer; empty until the source is read.
        source_mask: (B, S) True on real source tokens, `None` when all are.
    """

    source: list[tuple[Tensor, Tensor]]
    source_mask: Tensor | None

    @property
    def batch_size(self) -> int:
        """Number of rows."""
        ...

    def plan(self, num_tokens: int, real: Tensor | None, positions: Tensor | None) -> Step:
        """Decide the slots of the next T tokens of each row."""
        ...

    def write(self, layer: int, step: Step, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, T, K, C) keys and values; return those of all slots in use, each (B, S, K, C)."""
        ...

    def write_positions(self, step: Step) -> Tensor:
        """Store the positions of the new tokens; return those of all slots in use (B|1, S)."""
        ...

    def commit(self, step: Step) -> None:
        """Count the new tokens as stored, at the end of a pass."""
        ...


class KVCache:
    """Keys and values of every layer.

    Attributes:
        length: (B,) int64 tokens held in each row.
        max_length: slots a row has.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        batch_size: int,
        max_length: int,
        num_kv_heads: int,
        head_dim: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (batch_size, max_length, num_kv_heads, head_dim)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(num_layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(num_layers)]
        self.length = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.positions = torch.zeros((batch_size, max_length), dtype=torch.int64, device=device)
        self.max_length = max_length
        self.source: list[tuple[Tensor, Tensor]] = []  # cross-attention (keys, values) of each layer
        self.source_mask: Tensor | None = None

    @property
    def batch_size(self) -> int:
        """Number of rows."""
        return self.length.shape[0]

    def select(self, rows: Tensor) -> KVCache:
        """Keep the given rows, in the given order, repeats allowed; changes this cache and returns it.

        `rows` is (B',) integer indices: beams that survive, prompts repeated for several samples.
        """
        self.keys = [keys.index_select(0, rows) for keys in self.keys]
        self.values = [values.index_select(0, rows) for values in self.values]
        self.length, self.positions = self.length.index_select(0, rows), self.positions.index_select(0, rows)
        self.source = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self.source]
        if self.source_mask is not None:
            self.source_mask = self.source_mask.index_select(0, rows)
        return self

    def truncate(self, length: Tensor) -> KVCache:
        """Forget all but the first `length` (B,) tokens of each row; changes this cache and returns it."""
        if bool((length > self.length).any()) or bool((length < 0).any()):
            raise InputError(
                f"cannot keep {length.tolist()} of {self.length.tolist()} cached tokens; keep between 0 and all of them"
            )
        self.length = length.to(self.length)
        return self

    def plan(self, num_tokens: int, real: Tensor | None, positions: Tensor | None) -> Step:
        """Decide the slots of the next T tokens of each row.

        `real` is (B, T) False on padding.  Raises ContextLengthError when a row has no room.
        """
        step = self._uniform(num_tokens) if real is None else self._ragged(real)
        if step.span > self.max_length:
            raise ContextLengthError(
                f"the cache holds {self.max_length} tokens a row and {step.span} are needed; make a longer cache"
            )
        if positions is None:
            return step
        return Step(step.slots, step.real, step.start, step.span, step.lengths, positions)

    def _uniform(self, num_tokens: int) -> Step:
        offsets = torch.arange(num_tokens, device=self.length.device)
        slots = self.length[:, None] + offsets
        held = self.length.tolist()
        start = held[0] if min(held) == max(held) else None
        return Step(slots, None, start, max(held) + num_tokens, self.length + num_tokens, slots)

    def _ragged(self, real: Tensor) -> Step:
        slots = (self.length[:, None] + real.long().cumsum(-1) - 1).clamp(min=0)
        lengths = self.length + real.sum(-1)
        return Step(slots, real, None, int(lengths.max()), lengths, slots)

    def write(self, layer: int, step: Step, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, T, K, C) keys and values; return those of all slots in use, each (B, S, K, C)."""
        _store(self.keys[layer], step, keys)
        _store(self.values[layer], step, values)
        return self.keys[layer][:, : step.span], self.values[layer][:, : step.span]

    def write_positions(self, step: Step) -> Tensor:
        """Store the positions of the new tokens; return those of all slots in use (B, S)."""
        _store(self.positions, step, step.positions.expand(step.slots.shape))
        return self.positions[:, : step.span]

    def commit(self, step: Step) -> None:
        """Count the new tokens as stored, at the end of a pass."""
        self.length = step.lengths


def _store(store: Tensor, step: Step, new: Tensor) -> None:
    if step.start is not None:
        store[:, step.start : step.start + new.shape[1]] = new
        return
    rows = torch.arange(new.shape[0], device=new.device)[:, None].expand(step.slots.shape)
    if step.real is None:
        store[rows, step.slots] = new.to(store.dtype)
    else:
        store[rows[step.real], step.slots[step.real]] = new[step.real].to(store.dtype)
