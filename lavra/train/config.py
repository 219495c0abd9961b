"""Settings of one training run; a run is its settings, its objective and its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from lavra.base.errors import ConfigError
from lavra.train.schedule import ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The choice of the optimizer, and its rates.

    Attributes:
        kind: `muon` (matrices by Muon, the rest by AdamW) or `adamw`.
        learning_rate: peak, of the block matrices.
        embedding_learning_rate: peak, of embeddings, head, norms and biases; the same when absent.
        weight_decay: decoupled, per unit of learning rate, on matrices.
        beta1: decay of AdamW's first moment.
        beta2: decay of AdamW's second moment.
        eps: AdamW's guard against division by zero.
        momentum: Muon's, in Nesterov form.
    """

    kind: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 5e-3
    embedding_learning_rate: float | None = None
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    momentum: float = 0.95

    def __post_init__(self) -> None:
        if self.kind not in ("muon", "adamw"):
            raise ConfigError(f"optimizer.kind is {self.kind!r}; known: adamw, muon")
        for name in ("learning_rate", "embedding_learning_rate", "eps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"optimizer.{name} is {value}; give a positive number such as 0.001")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"optimizer.weight_decay is {self.weight_decay}; give 0 or a positive number such as 0.1")
        for name in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"optimizer.{name} is {getattr(self, name)}, outside 0 <= x < 1")


class Parallel(Enum):
    """The ways in which several processes share a run."""

    NONE = "none"
    DDP = "ddp"  # every process holds the model; gradients are averaged (Li et al. 2020)
    FSDP = "fsdp"  # parameters, gradients and optimizer state are sharded (Zhao et al. 2023; PyTorch's FSDP2)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of the training of a model.

    Attributes:
        num_steps: optimizer steps.
        accumulation: micro-batches per step and process; gradients are summed and divided once by all targets.
        optimizer: AdamW or Muon and their rates.
        schedule: course of the learning rate.
        clip_norm: the gradient's global norm is clipped to this; 0 leaves it alone.
        precision: `float32`, or `bf16` autocast with float32 parameters and optimizer state.
        compile: `auto` compiles blocks where a C++ compiler is, `on` insists, `off` never.
        activation_checkpointing: recompute each block's activations in the backward pass (Chen et al. 2016).
        parallel: `none`, `ddp` or `fsdp`, started by torchrun.
        eval_every: steps between evaluations; 0 evaluates at the end only.
        patience: evaluations without improvement before the run stops early; 0 never does.
        save_every: steps between checkpoints; 0 saves at the end only.
        keep_checkpoints: number of the latest checkpoints that stay on disk.
        seed: seed of everything random in the loop (data order has the batch maker's own).
    """

    num_steps: int
    accumulation: int = 1
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    clip_norm: float = 1.0
    precision: Literal["float32", "bf16"] = "float32"
    compile: Literal["auto", "on", "off"] = "auto"
    activation_checkpointing: bool = False
    parallel: Parallel = Parallel.NONE
    eval_every: int = 0
    patience: int = 0
    save_every: int = 0
    keep_checkpoints: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_steps", 1), ("accumulation", 1), ("keep_checkpoints", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("eval_every", "patience", "save_every", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 0")
        if not 0 <= self.clip_norm < math.inf:
            raise ConfigError(f"clip_norm is {self.clip_norm}; give a positive number, or 0 to leave gradients alone")
        for name, known in (("precision", ("float32", "bf16")), ("compile", ("auto", "on", "off"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; known: {', '.join(known)}")
        if self.patience and not self.eval_every:
            raise ConfigError("patience counts evaluations, but eval_every is 0; set eval_every too")
