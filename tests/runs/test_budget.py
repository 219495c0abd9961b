"""Steps that a share of the time allows; measuring them changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lavra.base.files import read_json
from lavra.data.batch import Batch, FixedShape
from lavra.runs.budget import CHOSEN_FILE, LEAST_STEPS, Allowance, ChosenSteps, fixed, save_every, seconds_a_step
from lavra.train.objective import Objective

SECONDS = 0.02


class Batches(FixedShape):
    """Always the same batch."""

    dropped_per_epoch = 0

    def batch(self, index: int) -> Batch:
        two = torch.zeros(1, 2, dtype=torch.int64)
        return Batch(input_ids=two, labels=two, positions=two, segments=two.int(), sample_ids=("a",))


def slow_loss(model: nn.Module, batch: Batch) -> Tensor:
    time.sleep(SECONDS)
    return model(torch.rand(1, 3)).sum()


@pytest.fixture
def training_task():
    torch.manual_seed(0)
    return nn.Linear(3, 1), Objective(batches=Batches(), loss=slow_loss)


def test_a_step_costs_what_it_takes_and_changes_nothing(training_task):
    model, objective = training_task
    before, state = [one.clone() for one in model.parameters()], torch.random.get_rng_state()
    assert SECONDS <= seconds_a_step(model, objective, "float32", at_most=10.0) < 10 * SECONDS
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(one.grad is None for one in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_steps_and_measuring_fit_into_what_is_left(training_task):
    allowance = Allowance(4.0)
    chosen = allowance.choose(*training_task, "float32", a_step=8, least=4, most=10_000)
    assert chosen.steps >= LEAST_STEPS
    assert 4 < chosen.measured <= 8 * 0.15 * 4.0 / SECONDS
    assert chosen.steps * SECONDS + 2 * chosen.measured / 8 * SECONDS < allowance.left


def test_the_bounds_of_what_is_measured_hold(training_task):
    few, many = ({"least": 1, "most": 2}, {"least": 50, "most": 99})
    assert Allowance(2.0).choose(*training_task, "float32", a_step=8, **few).measured == 2
    assert Allowance(0.2).choose(*training_task, "float32", a_step=8, **many).measured == 50


@pytest.mark.parametrize(("seconds", "least"), [(SECONDS, 1), (2.0, 8 * 2.0 / SECONDS)])
def test_too_little_time_is_no_step(training_task, seconds: float, least: float):
    """For the steps themselves, or for the shortest measurement."""
    allowance = Allowance(seconds)
    assert allowance.choose(*training_task, "float32", a_step=8, least=int(least), most=10_000).steps == 0


def test_an_interrupted_run_keeps_what_it_chose(tmp_path: Path):
    chosen = ChosenSteps(steps=7, measured=9)
    assert fixed(tmp_path, lambda: chosen) == chosen
    assert fixed(tmp_path, lambda: pytest.fail("it was chosen already")) == chosen
    assert read_json(tmp_path / CHOSEN_FILE) == {"steps": 7, "measured": 9}


@pytest.mark.parametrize(("seconds", "every"), [(0.1, 300), (0.07, 429), (30.0, 1), (44.0, 1), (500.0, 1)])
def test_checkpoints_are_half_a_minute_apart(seconds: float, every: int):
    assert save_every(seconds) == every


def test_a_run_that_fills_its_allowance_is_saved_as_often():
    assert Allowance(300.0).save_every(1000) == 100
    assert Allowance(2.0).save_every(7) == 105  # at the end only
    assert Allowance(600.0).save_every(4) == 1
