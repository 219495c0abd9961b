"""Put a model back as it was after a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that are trained, by name."""
    return {name: part.detach().clone() for name, part in model.named_parameters() if part.requires_grad}


def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set parameters by name and forget all gradients."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)
    model.zero_grad(set_to_none=True)


@contextmanager
def unchanged(model: nn.Module) -> Iterator[nn.Module]:
    """The model, put back as it was."""
    weights, training = trained_weights(model), model.training
    try:
        yield model
    finally:
        put_weights(model, weights)
        model.train(training)


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[nn.Module]:
    """The model without dropout, for a while."""
    training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(training)
