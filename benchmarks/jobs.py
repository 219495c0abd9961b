"""What each side of a race is asked to do; nothing of either side is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lavra.data.batch import BatchMaker
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.next_token import NextToken, NextTokenConfig
from lavra.train import OptimizerConfig, ScheduleConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Which batches, in which order: the same for every side.

    Attributes:
        tokens: the folder of the training tokens.
        batch_size: rows in a batch.
        sequence_length: tokens in a row.
        seed: of the order.
    """

    tokens: Path
    batch_size: int
    sequence_length: int
    seed: int = 0

    def batches(self) -> BatchMaker:
        """As lavra reads them: with document numbers, and positions that start again at each document."""
        return NextToken(
            TokenDataset.open(self.tokens),
            NextTokenConfig(batch_size=self.batch_size, sequence_length=self.sequence_length, seed=self.seed),
        )

    def plain(self, num_batches: int) -> tuple[Tensor, Tensor]:
        """The same rows without that: inputs and their next tokens, both (num_batches * batch_size, T)."""
        maker = self.batches()
        batches = [maker.batch(index) for index in range(num_batches)]
        return torch.cat([batch.input_ids for batch in batches]), torch.cat([batch.labels for batch in batches])


@dataclass(frozen=True, kw_only=True)
class LavraJob:
    """What lavra is to train.

    Attributes:
        model: a folder with the initial weights.
        out: where the trained model goes.
        rows: the data.
        train: the loop's settings.
    """

    model: Path
    out: Path
    rows: Rows
    train: TrainConfig


@dataclass(frozen=True, kw_only=True)
class TrainerJob:
    """What the Trainer is to train, and how.

    Attributes:
        model: a folder with the initial weights.
        out: where the trained model goes.
        rows: the data.
        num_steps: optimizer steps of the schedule.
        stop_after: steps really done, where only the speed is of interest; all of them when absent.
        optimizer: AdamW's settings.
        schedule: of the learning rate.
        clip_norm: the gradient's norm is clipped to this.
        bf16: train in bf16 autocast; float32 otherwise, which is the Trainer's default.
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
