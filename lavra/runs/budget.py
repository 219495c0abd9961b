"""A run with a budget: the number of training steps within an allowance of seconds, and the steps between saves.

Steps are timed on the real model before the first one, and their number is written down in the scratch folder, so that
a run that was stopped goes on as the same run.  Nothing is updated to find the cost of a step, and nothing about
training depends on a clock: seconds are turned into steps first.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn

from lavra.base.files import read_json, write_json
from lavra.base.units import format_duration
from lavra.train.objective import AnyObjective, LossModule, autocast

CHOSEN_FILE: Final = "chosen.json"
LEAST_STEPS: Final = 4  # fewest steps of a run; fewer teach nothing
SECONDS_BETWEEN_SAVES: Final = 30.0
"""Work of a run with a budget that a kill may cost."""

_TIMED: Final = 3  # steps, after one that warms up
_MARGIN: Final = 0.75  # share of the time: the optimizer and other programs on the machine take the rest
_MEASURING: Final = 0.15  # part of the share for measuring, before training and again after it


@dataclass(frozen=True, kw_only=True)
class ChosenSteps:
    """The steps and samples within a share of the budget.

    Attributes:
        steps: optimizer steps; 0 where fewer than `LEAST_STEPS` fit.
        measured: held-out samples to measure on, before and after.
    """

    steps: int
    measured: int


class Allowance:
    """Seconds that run out from the moment it is made.

    Args:
        seconds: the allowance.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._began = seconds, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that are left; negative when more were used."""
        return self.seconds - (time.monotonic() - self._began)

    def save_every(self, num_steps: int) -> int:
        """Steps between checkpoints of a run of `num_steps` that takes all of the allowance."""
        return save_every(self.seconds / num_steps)

    def choose(
        self, module: nn.Module, objective: AnyObjective, precision: str, *, a_step: int, least: int, most: int
    ) -> ChosenSteps:
        """Steps and held-out samples, before anything is trained or measured.

        Args:
            module: to be trained; its weights stay as they are.
            objective: its first batches are computed, forwards and backwards.
            precision: precision of the run.
            a_step: samples that are measured in about the time of a step.
            least: samples to measure on; with fewer a score means nothing.
            most: samples to measure on.
        """
        usual = seconds_a_step(module, objective, precision, self.left)
        measured = min(most, max(least, round(a_step * _MEASURING * self.seconds / usual)))
        measuring = 2 * usual * measured / a_step
        steps = math.floor(max(0.0, self.left - measuring) * _MARGIN / usual)
        return ChosenSteps(steps=steps if steps >= LEAST_STEPS else 0, measured=measured)


def save_every(seconds_a_step: float) -> int:
    """Steps between checkpoints that are `SECONDS_BETWEEN_SAVES` apart; 1 where a step takes longer."""
    return max(1, round(SECONDS_BETWEEN_SAVES / seconds_a_step))


def seconds_a_step(module: nn.Module, objective: AnyObjective, precision: str, at_most: float) -> float:
    """Median of a few forward and backward passes after a first that warms up; fewer where time runs short."""
    device, whole, training = next(module.parameters()).device, LossModule(module, objective.loss), module.training
    module.train()
    state, began, times = torch.random.get_rng_state(), time.perf_counter(), list[float]()
    for index in range(1 + _TIMED):
        start = time.perf_counter()
        with autocast(device, precision):
            loss = whole(objective.batches.batch(index).to(device))
        loss.backward()
        loss.item()  # waits for an accelerator
        times.append(time.perf_counter() - start)
        if index and time.perf_counter() - began > at_most / 4:
            break
    module.zero_grad(set_to_none=True)
    torch.random.set_rng_state(state)
    module.train(training)
    return statistics.median(times[1:])


def fixed(scratch: Path, choose: Callable[[], ChosenSteps]) -> ChosenSteps:
    """The choice of a stopped session of this run, or a new choice; a choice of no steps is not gone on with.

    Args:
        scratch: folder of the run.
        choose: makes a choice; called where nothing was chosen yet.
    """
    path = scratch / CHOSEN_FILE
    if path.exists() and (kept := ChosenSteps(**read_json(path))).steps:
        return kept
    found = choose()
    if found.steps:
        write_json(path, asdict(found))
    return found


def no_time(allowance: Allowance) -> str:
    """The reason why nothing was trained."""
    share = format_duration(allowance.seconds)
    return f"not even {LEAST_STEPS} steps fit into {share}, this stage's share of the budget; give more `budget`"
