"""Our side of a speed comparison: `lavra.train` as `lavra pretrain` calls it, from a model folder to a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jobs import LavraJob
from turns import Turns

from lavra.base.device import bf16_pays
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.train.hooks import CallbackHook
from lavra.train.loop import TrainResult, train
from lavra.train.objective import Objective, token_loss


def own_choice() -> Literal["bf16", "float32"]:
    """The precision that `lavra pretrain` chooses without flags: bf16 where its products are clearly faster."""
    return "bf16" if bf16_pays(torch.device("cpu")) else "float32"


def train_job(job: LavraJob, turns: Turns) -> TrainResult:
    """Train and save."""
    model, _ = load_checkpoint(job.model, dtype=torch.float32)

    def step_done(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            turns.step_done()

    objective = Objective(batches=job.rows.batches(), loss=token_loss)
    turns.start()
    result = train(model, objective, job.train, hooks=[CallbackHook(step_done)])
    save_checkpoint(model, job.out)
    return result
