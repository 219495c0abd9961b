"""Jobs of both sides of a speed comparison; nothing of either side is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lavra.data.batch import BatchMaker
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.next_token import NextToken, NextTokenConfig
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.schedule import ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The batches and their order, the same for every side.

    Attributes:
        tokens: the folder of the training tokens.
        batch_size: rows in a batch.
        sequence_length: tokens in a row.
        seed: seed of the order.
    """

    tokens: Path
    batch_size: int
    sequence_length: int
    seed: int = 0

    def batches(self) -> BatchMaker:
        """Batches as lavra reads them: with document numbers, and with positions that start again at each document."""
        return NextToken(
            TokenDataset.open(self.tokens),
            NextTokenConfig(batch_size=self.batch_size, sequence_length=self.sequence_length, seed=self.seed),
        )

    def plain(self, num_batches: int) -> tuple[Tensor, Tensor]:
        """The same rows without them: inputs and next tokens, both (num_batches * batch_size, T)."""
        maker = self.batches()
        batches = [maker.batch(index) for index in range(num_batches)]
        return torch.cat([batch.input_ids for batch in batches]), torch.cat([batch.labels for batch in batches])


@dataclass(frozen=True, kw_only=True)
class LavraJob:
    """A training job of lavra.

    Attributes:
        model: a folder with the initial weights.
        out: folder for the trained model.
        rows: the data.
        train: the loop's settings.
    """

    model: Path
    out: Path
    rows: Rows
    train: TrainConfig


@dataclass(frozen=True, kw_only=True)
class TrainerJob:
    """A training job of the Trainer.

    Attributes:
        model: a folder with the initial weights.
        out: folder for the trained model.
        rows: the data.
        num_steps: optimizer steps of the schedule.
        stop_after: number of steps to run where only the speed is measured; absent runs all.
        optimizer: AdamW's settings.
        schedule: schedule of the learning rate.
        clip_norm: greatest norm of the gradient.
        bf16: whether to train in bf16 autocast; else in float32, the Trainer's default.
        compile: the Trainer's `torch_compile`.
        attention: transformers' `attn_implementation`.
    """

    model: Path
    out: Path
    rows: Rows
    num_steps: int
    stop_after: int | None = None
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    clip_norm: float = 1.0
    bf16: bool
    compile: bool
    attention: Literal["sdpa", "eager"] = "sdpa"
