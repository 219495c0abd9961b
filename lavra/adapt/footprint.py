"""What training a model takes of memory, known before a step is done.

Weights, gradients and optimizer state follow from the parameters; activations are those autograd keeps of the loss of
one real batch, added up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lavra.train.config import Parallel
from lavra.train.kept import noting_kept
from lavra.train.objective import AnyObjective, LossModule, autocast
from lavra.train.used_rows import only_used_rows

_OPTIMIZER_COPIES = 2  # AdamW's two moments


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes, by what holds them.

    Attributes:
        weights: of the whole model, with the copies that are trained in place of a table.
        training: gradients and optimizer state of what is trained.
        activations: kept of one batch for its backward pass.
    """

    weights: int
    training: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.training + self.activations


def footprint(model: nn.Module, objective: AnyObjective, precision: str) -> Footprint:
    """Of a model as it is to be trained; one forward pass of the first batch is done, nothing changes.

    The first batch of rows grouped by length holds the longest of them.
    """
    stored = _storages(model)
    device, state, training = next(model.parameters()).device, torch.random.get_rng_state(), model.training
    model.train()  # dropout keeps its masks, and attention its weights
    with only_used_rows(model, objective, Parallel.NONE):
        stored |= _storages(model)
        trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
        with noting_kept(stored.values()) as kept, autocast(device, precision):
            LossModule(model, objective.loss)(objective.batches.batch(0).to(device))
    model.train(training)
    torch.random.set_rng_state(state)
    return Footprint(
        weights=sum(tensor.untyped_storage().nbytes() for tensor in stored.values()),
        training=(1 + _OPTIMIZER_COPIES) * trained,
        activations=kept.num_bytes,
    )


def _storages(model: nn.Module) -> dict[int, Tensor]:
    return {tensor.untyped_storage()._cdata: tensor for tensor in (*model.parameters(), *model.buffers())}
