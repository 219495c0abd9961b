"""Settings of a run are checked when they are created, and survive a round trip through plain data."""

from __future__ import annotations

import pytest

from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import ConfigError
from lavra.train.config import OptimizerConfig, Parallel, TrainConfig
from lavra.train.schedule import ScheduleConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_steps", 0),
        ("accumulation", 0),
        ("keep_checkpoints", 0),
        ("eval_every", -1),
        ("save_every", -5),
        ("patience", -1),
        ("patience", 3),
        ("seed", -1),
        ("clip_norm", -1.0),
        ("clip_norm", float("nan")),
        ("precision", "fp16"),
        ("compile", "yes"),
    ],
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(ConfigError, match=field):
        TrainConfig(**{"num_steps": 5, field: value})


def test_plain_data_and_back():
    config = TrainConfig(
        num_steps=7,
        parallel=Parallel.DDP,
        optimizer=OptimizerConfig(kind="adamw", beta2=0.9),
        schedule=ScheduleConfig(kind="cosine"),
    )
    assert from_mapping(TrainConfig, to_mapping(config), "test") == config
