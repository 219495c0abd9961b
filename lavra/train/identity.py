"""Digits that tell one run from another: those of its first batch, and of the weights it leaves alone."""

from __future__ import annotations

import hashlib

from torch import nn

from lavra.train.objective import AnyBatch
from lavra.train.shards import here

_LOOKED_AT = 64  # numbers of a tensor


def first_batch_id(batch: AnyBatch) -> str:
    """16 hex digits that tell one data set, seed and shape from another: makers are pure functions of them."""
    content = hashlib.sha256()
    for tensor in (batch.input_ids, batch.labels):
        content.update(str(tuple(tensor.shape)).encode() + tensor.cpu().numpy().tobytes())
    return content.hexdigest()[:16]


def weights_id(model: nn.Module) -> str:
    """16 hex digits that tell one model's weights from another's, by the first numbers of each tensor."""
    content = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        numbers = here(tensor).detach().flatten()[:_LOOKED_AT]
        content.update(name.encode() + numbers.float().cpu().numpy().tobytes())
    return content.hexdigest()[:16]


def frozen_id(model: nn.Module) -> str | None:
    """16 hex digits that tell the weights that are not trained from others, by the first numbers of each.

    Returns:
        None where all are trained.
    """
    frozen = {name: part for name, part in model.named_parameters() if not part.requires_grad}
    if not frozen:
        return None
    content = hashlib.sha256()
    for name, tensor in {**frozen, **dict(model.named_buffers())}.items():
        content.update(name.encode() + here(tensor).detach().flatten()[:_LOOKED_AT].float().cpu().numpy().tobytes())
    return content.hexdigest()[:16]
