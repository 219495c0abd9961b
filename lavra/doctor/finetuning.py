"""The checks of `lavra doctor` on a finetuning run as a whole: memory, time, and the loss before training.

Memory is counted, time is measured on real batches, and the loss before training is compared with a guess's loss.  The
checks leave the model unchanged.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lavra.base.checks import DEFECT, Check
from lavra.base.device import available_memory
from lavra.base.lazy import resolve
from lavra.base.units import format_duration, format_size
from lavra.data.batch import Batch
from lavra.model.task_files import task_in
from lavra.runs.finetune import Prepared
from lavra.train.checks import loss_of, only_steps, with_batches
from lavra.train.estimate import memory_limit
from lavra.train.hooks import CallbackHook
from lavra.train.loop import train
from lavra.train.objective import AnyBatch
from lavra.train.untouched import unchanged, without_dropout

_GUESSES: Final = 4  # batches for the loss before training
_TIMED: Final = 3  # steps, after a step that warms up
_MOST_HOURS: Final = 12.0  # hours of a run on the user's machine
_WORSE_THAN_GUESSING: Final = 1.5


# ---------------------------------------------------------------- memory and time


def memory_check(prepared: Prepared) -> Check:
    """Check the memory that training needs, for its longest batch, against the machine's."""
    needed, available = prepared.footprint(), available_memory()
    limit = memory_limit(available)
    passed = needed.total <= limit
    return Check(
        name="memory",
        passed=passed,
        detail=(
            f"{format_size(needed.total)}: {format_size(needed.weights)} of weights, {format_size(needed.training)} of "
            f"gradients and optimizer, {format_size(needed.activations)} of activations; "
            f"{format_size(available)} are available, {format_size(limit)} may be taken"
        ),
        remedy="" if passed else _what_fits(prepared, limit - needed.lasting, needed.activations + needed.loss),
    )


def _what_fits(prepared: Prepared, left: float, activations: int) -> str:
    size = prepared.config.batch_size
    fits = int(size * left / activations)
    if fits >= 1:
        parts = math.ceil(size / fits) * prepared.config.accumulation
        return f"--batch-size {fits} --accumulation {parts} would fit; so may a smaller --max-tokens"
    if prepared.config.method is None:
        return "not even one row fits: --method lora trains a small part of the weights; or take a smaller model"
    return "not even one row fits: take a smaller model, a smaller --max-tokens, or a machine with more memory"


def time_check(prepared: Prepared) -> Check:
    """Time a few real steps, short and long rows among them, and estimate the time of the whole run."""
    batches, parts = prepared.training_task.objective.batches, prepared.train.accumulation
    taken = np.linspace(0, len(batches) - 1, _TIMED * parts).astype(int).tolist()
    shown = [batches.batch(index) for index in [*taken[:parts], *taken]]
    seconds: list[float] = []
    settings = replace(only_steps(prepared.train, _TIMED + 1), accumulation=parts, compile="off")
    with unchanged(prepared.recipe.module()) as model:
        hook = CallbackHook(lambda step, metrics: seconds.append(metrics["seconds"]))
        train(model, with_batches(prepared.training_task.objective, shown), settings, hooks=[hook])
    a_step = sum(seconds[1:]) / _TIMED
    total = a_step * prepared.train.num_steps
    passed = total <= _MOST_HOURS * 3600
    return Check(
        name="time",
        passed=passed,
        detail=(
            f"{prepared.train.num_steps:,} steps of {format_duration(a_step)} take about {format_duration(total)}, "
            f"besides measuring; {_MOST_HOURS:g}h are allowed"
        ),
        remedy="" if passed else "give fewer --epochs or --steps, a smaller --max-tokens, or a smaller model",
    )


# ---------------------------------------------------------------- the loss


def guess_check(prepared: Prepared) -> Check:
    """Check the loss before training against a guess's loss.

    A fresh head guesses: its loss is near ln N for N labels.  A trained head or model must be better than a
    guess; a worse loss means that its labels, pairs or tokens differ from those it learnt.
    """
    recipe, objective = prepared.recipe, prepared.training_task.objective
    fresh = recipe.head is not None and not goes_on(prepared)
    found = guessed = 0.0
    targets = 0
    with without_dropout(recipe.module()) as model, torch.no_grad():
        device = next(model.parameters()).device
        for index in range(min(_GUESSES, len(objective.batches))):
            batch = objective.batches.batch(index)
            found += float(loss_of(model, objective, batch.to(device)))
            guessed += guess(prepared, batch)
            targets += batch.num_targets
    found, guessed = found / targets, guessed / targets
    allowed = 2 * guessed if fresh else _WORSE_THAN_GUESSING * guessed
    remedy = ""
    if not found <= allowed:
        remedy = (
            f"it is over {allowed:.3f}: is the column of labels the right one, and the tokenizer the model's own? "
            "If both are, the model has learnt other labels, or the same in another order"
        )
    elif fresh and found < guessed / 2:
        remedy = f"an untrained head cannot reach this loss; {DEFECT}"
    return Check(
        name="loss before training",
        passed=not remedy,
        detail=f"{found:.3f} a target, and {guessed:.3f} for a guess; up to {allowed:.3f} is allowed",
        remedy=remedy,
    )


def goes_on(prepared: Prepared) -> bool:
    """Whether the run continues with the base model's head, as the recipe does where the head matches."""
    found, head = task_in(prepared.base), prepared.recipe.head
    return found is not None and head is not None and found.says_the_same(head)


def guess(prepared: Prepared, batch: AnyBatch) -> float:
    """Summed loss of a batch for a model without knowledge: equal answers, the number 0, the same vector."""
    recipe, head = prepared.recipe, prepared.config.task.head
    if isinstance(batch, Batch):
        return batch.num_targets * math.log(recipe.model_config.vocab_size)
    if head is None or recipe.head is None:
        return float(loss_of(ConstantModel(recipe.model_config.hidden_size), prepared.training_task.objective, batch))
    return float(resolve(head.guess)(batch, recipe.head))


class ConstantModel:
    """A model that gives every text the same vector.

    Args:
        size: number of channels of the vector.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, input_ids: Tensor, **_: object) -> Tensor:
        """Vectors (B, D) of length 1."""
        return torch.full((len(input_ids), self.size), self.size**-0.5, device=input_ids.device)
