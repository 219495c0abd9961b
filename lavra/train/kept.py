"""The tensors that autograd keeps of a forward pass for the backward one, added up: each storage once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Kept:
    """Tensors that were kept; held, so that no other storage takes the number of theirs."""

    def __init__(self) -> None:
        self.tensors: dict[int, Tensor] = {}

    @property
    def num_bytes(self) -> int:
        """Bytes of all their storages."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self.tensors.values())


@contextmanager
def noting_kept(owned: Iterable[Tensor]) -> Iterator[Kept]:
    """A block whose forward passes are watched.

    Args:
        owned: parameters and buffers, which are there anyway and are left out.
    """
    known = {tensor.untyped_storage()._cdata for tensor in owned}
    kept = Kept()

    def note(tensor: Tensor) -> Tensor:
        number = tensor.untyped_storage()._cdata
        if number not in known:
            kept.tensors[number] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept
