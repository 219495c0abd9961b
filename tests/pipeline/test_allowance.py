"""What a share of the time buys, and that finding out changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lavra.base.files import read_json
from lavra.data.batch import Batch
from lavra.pipeline.allowance import LEAST_STEPS, STEPS_FILE, Allowance, fixed_steps, seconds_a_step
from lavra.train import Objective

SECONDS = 0.02


class Batches:
    """Always the same batch."""

    dropped_per_epoch = 0

    def batch(self, index: int) -> Batch:
        two = torch.zeros(1, 2, dtype=torch.int64)
        return Batch(input_ids=two, labels=two, positions=two, segments=two.int(), sample_ids=("a",))


def slow_loss(model: nn.Module, batch: Batch) -> Tensor:
    time.sleep(SECONDS)
    return model(torch.rand(1, 3)).sum()


@pytest.fixture
def lesson():
    torch.manual_seed(0)
    return nn.Linear(3, 1), Objective(batches=Batches(), loss=slow_loss)


def test_a_step_costs_what_it_takes_and_changes_nothing(lesson):
    model, objective = lesson
    before, state = [one.clone() for one in model.parameters()], torch.random.get_rng_state()
    assert SECONDS <= seconds_a_step(model, objective, "float32", at_most=10.0) < 10 * SECONDS
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(one.grad is None for one in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_steps_fit_into_what_is_left(lesson):
    allowance = Allowance(4.0)
    steps = allowance.steps(*lesson, "float32", reserve=2.0)
    assert LEAST_STEPS <= steps <= 2.0 / SECONDS
    assert steps * SECONDS < allowance.left - 2.0


@pytest.mark.parametrize("reserve", [3.99, 5.0])
def test_too_little_time_is_no_step(lesson, reserve: float):
    assert Allowance(4.0).steps(*lesson, "float32", reserve=reserve) == 0


def test_an_interrupted_run_keeps_its_number(tmp_path: Path):
    assert fixed_steps(tmp_path, lambda: 7) == 7
    assert fixed_steps(tmp_path, lambda: pytest.fail("it was chosen already")) == 7
    assert read_json(tmp_path / STEPS_FILE) == {"steps": 7}
