"""Tensors that may be spread over processes (FSDP's `DTensor`): gather one, fill one, cut one to measure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Any) -> Tensor:
    """The full tensor behind a shard, on every process; other tensors as they are."""
    result: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return result


def here(tensor: Any) -> Tensor:
    """The part of a shard this process holds; other tensors as they are."""
    result: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return result


def cut_like(source: Tensor, target: Tensor) -> Tensor:
    """A full tensor, the same on every process, sharded as `target` is; nothing is sent."""
    if isinstance(target, DTensor):
        return distribute_tensor(source, target.device_mesh, target.placements, src_data_rank=None)
    return source


def copy_into(target: Tensor, source: Tensor) -> None:
    """Write a full tensor into a parameter or state, whether it is sharded or not."""
    with torch.no_grad():
        target.copy_(cut_like(source.to(target.device), target))
