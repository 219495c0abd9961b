"""Tensors that may be spread over processes (FSDP's `DTensor`): gather one, fill one, cut one to measure.

PyTorch's package for them is imported where one is cut: 46 MB that a run in one process has no use for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: Any) -> bool:
    """Whether it is a `DTensor`."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Any) -> Tensor:
    """The full tensor behind a shard, on every process; other tensors as they are."""
    result: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor
    return result


def here(tensor: Any) -> Tensor:
    """The part of a shard this process holds; other tensors as they are."""
    result: Tensor = tensor.to_local() if is_sharded(tensor) else tensor
    return result


def cut_like(source: Tensor, target: Tensor) -> Tensor:
    """A full tensor, the same on every process, sharded as `target` is; nothing is sent."""
    if not is_sharded(target):
        return source
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415 - see above

    shards: Any = target
    return distribute_tensor(source, shards.device_mesh, shards.placements, src_data_rank=None)


def copy_into(target: Tensor, source: Tensor) -> None:
    """Write a full tensor into a parameter or state, whether it is sharded or not."""
    with torch.no_grad():
        target.copy_(cut_like(source.to(target.device), target))
