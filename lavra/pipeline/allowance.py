"""A stage's share of the time budget: how many training steps it buys, timed on the real model before the first one.

As `planning` does for pretraining, but for stages of seconds: nothing is updated to find out what a step costs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from lavra.base.files import read_json, write_json
from lavra.train.objective import AnyObjective, LossModule, autocast

LEAST_STEPS: Final = 4
"""Of a run; fewer teach nothing."""

STEPS_FILE: Final = "steps.json"
_TIMED: Final = 3  # steps, after one that warms up
_MARGIN: Final = 0.85  # of the time: the optimizer, and whoever else uses the machine, take the rest


class Allowance:
    """Seconds that run out from the moment it is made.

    Args:
        seconds: how many.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._began = seconds, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that are left; negative when more were used."""
        return self.seconds - (time.monotonic() - self._began)

    def steps(self, module: nn.Module, objective: AnyObjective, precision: str, *, reserve: float) -> int:
        """How many steps fit.

        Args:
            module: to be trained; its weights stay as they are.
            objective: whose first batches are computed, forwards and backwards.
            precision: of the run.
            reserve: seconds needed after training.

        Returns:
            0 where fewer than `LEAST_STEPS` fit.
        """
        usual = seconds_a_step(module, objective, precision, self.left - reserve)
        found = math.floor(max(0.0, self.left - reserve) * _MARGIN / usual)
        return found if found >= LEAST_STEPS else 0


def seconds_a_step(module: nn.Module, objective: AnyObjective, precision: str, at_most: float) -> float:
    """Mean of a few forward and backward passes; one only where `at_most` seconds are over by then."""
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
        if time.perf_counter() - began > at_most / 4:
            break
    module.zero_grad(set_to_none=True)
    torch.random.set_rng_state(state)
    module.train(training)
    kept = times[1:] or times
    return sum(kept) / len(kept)


def fixed_steps(scratch: Path, choose: Callable[[], int]) -> int:
    """The number of steps of this run: as an interrupted session of it chose, so that it goes on, or chosen now."""
    path = scratch / STEPS_FILE
    if path.exists():
        return int(read_json(path)["steps"])
    found = choose()
    plain: dict[str, Any] = {"steps": found}
    write_json(path, plain)
    return found
