"""Small models, a small real data set, and batch makers of a known shape for the tests of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lavra.data.batch import IGNORE, Batch, FixedShape
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.next_token import NextToken, NextTokenConfig
from lavra.model.build import build_model
from lavra.model.config import ModelConfig
from lavra.model.families.table import preset
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.objective import Objective, token_loss
from lavra.train.schedule import ScheduleConfig
from tests.data.fakes import ByteTokenizer, dataset_of

VOCAB = 320  # ByteTokenizer has 307 tokens; a multiple of 64
PLAIN_ADAMW = OptimizerConfig(kind="adamw", learning_rate=3e-3, weight_decay=0.1)
FLAT = ScheduleConfig(kind="constant", warmup=0.0)


def tiny_config(family: str = "llama", *, layers: int = 2, hidden: int = 64, **changes: Any) -> ModelConfig:
    config = preset(family, vocab_size=VOCAB, hidden_size=hidden, num_layers=layers, num_heads=2, max_positions=64)
    return replace(config, **changes)


def tiny_model(family: str = "llama", *, seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    return build_model(tiny_config(family, **changes))


def dataset(folder: Path, lengths: Sequence[int] = tuple(range(5, 200, 3))) -> TokenDataset:
    return dataset_of(folder / "tokens", lengths, ByteTokenizer())


def next_token(folder: Path, *, batch_size: int = 2, sequence_length: int = 32, seed: int = 0) -> Objective:
    shape = NextTokenConfig(batch_size=batch_size, sequence_length=sequence_length, seed=seed)
    data = TokenDataset.open(folder / "tokens") if (folder / "tokens").exists() else dataset(folder)
    return Objective(batches=NextToken(data, shape), loss=token_loss)


class Ragged(FixedShape):
    """Micro-batches with very different numbers of targets: row r of all rows keeps 1 + (7 r) mod T of them."""

    def __init__(self, *, batch_size: int, sequence_length: int = 24, length: int = 64) -> None:
        self.batch_size, self.sequence_length, self.length = batch_size, sequence_length, length

    def __len__(self) -> int:
        return self.length

    @property
    def dropped_per_epoch(self) -> int:
        return 0

    def batch(self, index: int) -> Batch:
        rows = [self._row(index * self.batch_size + place) for place in range(self.batch_size)]
        tokens = torch.stack(rows)
        T = self.sequence_length
        labels = tokens[:, 1:].clone()
        for place in range(self.batch_size):
            labels[place, 1 + (7 * (index * self.batch_size + place)) % T :] = IGNORE
        return Batch(
            input_ids=tokens[:, :-1],
            labels=labels,
            positions=torch.arange(T).expand(self.batch_size, T),
            segments=torch.ones(self.batch_size, T, dtype=torch.int32),
            sample_ids=tuple(f"row {index * self.batch_size + place}" for place in range(self.batch_size)),
        )

    def _row(self, row: int) -> torch.Tensor:
        draw = np.random.default_rng(row)
        # A skewed distribution, so that there is something to learn.
        return torch.from_numpy(np.minimum(draw.geometric(0.05, size=self.sequence_length + 1), VOCAB - 1))


def ragged(batch_size: int = 2, **shape: int) -> Objective:
    return Objective(batches=Ragged(batch_size=batch_size, **shape), loss=token_loss)


def settings(num_steps: int = 6, **changes: Any) -> TrainConfig:
    """Uncompiled float32 AdamW without a schedule by default."""
    plain: dict[str, Any] = {"optimizer": PLAIN_ADAMW, "schedule": FLAT, "compile": "off"}
    return TrainConfig(num_steps=num_steps, **{**plain, **changes})


class Recorder:
    """A hook that keeps its calls."""

    def __init__(self, stop_at: int | None = None, fail_at: int | None = None) -> None:
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.evals: list[tuple[int, dict[str, float]]] = []
        self.saves: list[int] = []
        self.summary: dict[str, Any] = {}
        self.stop_at, self.fail_at = stop_at, fail_at

    @property
    def losses(self) -> list[float]:
        return [metrics["loss"] for _, metrics in self.steps]

    def on_step(self, step, metrics):
        self.steps.append((step, dict(metrics)))
        if step == self.fail_at:
            raise RuntimeError("the power went out")

    def on_eval(self, step, metrics):
        self.evals.append((step, dict(metrics)))
        return step == self.stop_at

    def on_save(self, step, folder):
        self.saves.append(step)

    def on_end(self, summary):
        self.summary = dict(summary)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def assert_same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), f"{name} differs by {(tensor - second[name]).abs().max()}"
