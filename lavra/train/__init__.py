"""Floor 4: the one training loop, its optimizers, schedules, checkpoints and parallelism."""

from lavra.train.checkpoint import checkpoint_folders
from lavra.train.config import Parallel, TrainConfig
from lavra.train.hooks import CallbackHook, JsonlHook, TensorBoardHook, read_metrics
from lavra.train.loop import TrainResult, block_matrices, train
from lavra.train.objective import Objective, sequence_to_sequence_loss, token_loss
from lavra.train.optim import OptimizerConfig
from lavra.train.schedule import ScheduleConfig

__all__ = [
    "CallbackHook",
    "JsonlHook",
    "Objective",
    "OptimizerConfig",
    "Parallel",
    "ScheduleConfig",
    "TensorBoardHook",
    "TrainConfig",
    "TrainResult",
    "block_matrices",
    "checkpoint_folders",
    "read_metrics",
    "sequence_to_sequence_loss",
    "token_loss",
    "train",
]
