"""The promises of training, tried on a run's own model, rows and settings before it is made.

Accumulation: a step in micro-batches is the step on the big batch.  Resuming: a run that was interrupted goes on where
it was and ends where an uninterrupted one ends, bit by bit.  Every check leaves the model as it was.  `lavra doctor`
runs them before a model is pretrained or finetuned; dropout is off where two ways to one
number are compared.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from lavra.base.checks import DEFECT, Check
from lavra.data.batch import FixedShape
from lavra.train.config import Parallel, TrainConfig
from lavra.train.hooks import CallbackHook
from lavra.train.loop import train
from lavra.train.objective import AnyBatch, AnyObjective, Objective, TaskObjective
from lavra.train.untouched import put_weights, trained_weights, unchanged

LOSS_TOLERANCE: Final = 2e-5  # relative, of a summed loss: float32 sums in another order
GRADIENT_TOLERANCE: Final = 1e-3  # the same, of sums of squares over all weights

_STEPS, _INTERRUPTED = 4, 2


# ---------------------------------------------------------------- accumulation


def accumulation_check(
    model: nn.Module,
    objective: AnyObjective,
    whole: Sequence[AnyBatch],
    parts: Sequence[AnyBatch],
    settings: TrainConfig,
) -> Check:
    """Take a step on a batch whole and part by part; loss and gradient must agree.

    Args:
        model: to be trained.
        objective: the loss to check.
        whole: the batch, alone in a list.
        parts: the same samples in several batches.
        settings: settings of the run.
    """
    one, several = (_one_step(model, objective, batches, settings) for batches in (whole, parts))
    bounds = {"loss": LOSS_TOLERANCE, "gradient_norm": GRADIENT_TOLERANCE}
    passed = all(math.isclose(one[name], several[name], rel_tol=bound, abs_tol=1e-6) for name, bound in bounds.items())
    return Check(
        name="accumulation = big batch",
        passed=passed,
        detail=(
            f"loss {one['loss']:.6f} and {several['loss']:.6f}, gradient {one['gradient_norm']:.6f} and "
            f"{several['gradient_norm']:.6f} in 1 and {len(parts)} parts"
        ),
        remedy="" if passed else f"accumulating changes the gradient; {DEFECT}",
    )


def _one_step(
    model: nn.Module, objective: AnyObjective, batches: Sequence[AnyBatch], settings: TrainConfig
) -> Mapping[str, float]:
    """Loss and gradient of one step in as many parts as there are batches."""
    seen: list[Mapping[str, float]] = []

    def loss(calm: Any, batch: Any) -> Tensor:
        return loss_of(calm.model, objective, batch)

    plain = replace(only_steps(settings, 1), accumulation=len(batches), precision="float32", compile="off")
    shown = with_batches(objective, batches)
    with unchanged(model):
        hook = CallbackHook(lambda step, metrics: seen.append(dict(metrics)))
        train(_AlwaysEvaluating(model), replace(shown, loss=loss), plain, hooks=[hook])
    return seen[0]


class _AlwaysEvaluating(nn.Module):
    """A model that stays in evaluation mode while it is trained: dropout would draw other masks for other batches."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def train(self, mode: bool = True) -> _AlwaysEvaluating:
        """Stay in evaluation mode."""
        return super().train(False)


# ---------------------------------------------------------------- resuming


def resume_check(model: nn.Module, objective: AnyObjective, settings: TrainConfig) -> Check:
    """A run cut short and resumed beside an uninterrupted one, in the run's own precision, compilation and dropout."""
    settings = only_steps(settings, _STEPS)
    with unchanged(model):
        start = trained_weights(model)
        train(model, objective, settings)
        straight = trained_weights(model)
        put_weights(model, start)
        with tempfile.TemporaryDirectory() as folder:
            saving = replace(settings, save_every=_INTERRUPTED, keep_checkpoints=1)
            with suppress(_PowerCutError):
                train(model, objective, saving, folder=Path(folder), hooks=[CallbackHook(_power_cut)])
            put_weights(model, start)  # the contents of memory are lost
            went_on = train(model, objective, saving, folder=Path(folder)).resumed_from
        resumed = trained_weights(model)
    largest = max((float((straight[name] - resumed[name]).abs().max()) for name in straight), default=math.inf)
    remedy = ""
    if went_on != _INTERRUPTED:
        remedy = f"it began again at step {went_on} instead of going on; {DEFECT}"
    elif largest != 0.0:
        remedy = "resuming is not exact here; run on one machine, threads unchanged, or say compile: off"
    return Check(
        name="save and resume",
        passed=not remedy,
        detail=(
            f"weights after {_STEPS} steps differ by {largest:.3g} when interrupted after {_INTERRUPTED} (0 is allowed)"
        ),
        remedy=remedy,
    )


class _PowerCutError(Exception):
    """The end of an interrupted run."""


def _power_cut(step: int, metrics: Mapping[str, float]) -> None:
    if step == _INTERRUPTED:
        raise _PowerCutError


# ---------------------------------------------------------------- parts of the checks


@dataclass(frozen=True)
class GivenBatches(FixedShape):
    """A maker of given batches, of any kind."""

    batches: Sequence[Any]

    def __len__(self) -> int:
        return len(self.batches)

    def batch(self, index: int) -> Any:
        """The batch of that number; after the last, the first again."""
        return self.batches[index % len(self.batches)]

    @property
    def dropped_per_epoch(self) -> int:
        """0: every batch is shown."""
        return 0


def with_batches(objective: AnyObjective, batches: Sequence[AnyBatch]) -> AnyObjective:
    """The objective with given batches and the same loss."""
    if isinstance(objective, Objective):
        return Objective(batches=GivenBatches(batches), loss=objective.loss)
    return TaskObjective(batches=GivenBatches(batches), loss=objective.loss)


def loss_of(model: Any, objective: AnyObjective, batch: AnyBatch) -> Tensor:
    """An objective's loss of a batch of any kind."""
    loss: Callable[[Any, Any], Tensor] = objective.loss
    return loss(model, batch)


def only_steps(settings: TrainConfig, num_steps: int) -> TrainConfig:
    """The settings without evaluating, saving, accumulating and other processes."""
    return replace(
        settings,
        num_steps=num_steps,
        eval_every=0,
        patience=0,
        save_every=0,
        accumulation=1,
        parallel=Parallel.NONE,
    )
