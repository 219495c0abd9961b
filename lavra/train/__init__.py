"""Floor 4: the one training loop, its optimizers, schedules, checkpoints and parallelism."""

from typing import TYPE_CHECKING

from lavra.base.lazy import lazy_names

if TYPE_CHECKING:
    from lavra.train.checkpoint import checkpoint_folders
    from lavra.train.config import OptimizerConfig, Parallel, TrainConfig
    from lavra.train.hooks import CallbackHook, JsonlHook, TensorBoardHook, read_metrics
    from lavra.train.loop import TrainResult, block_matrices, train
    from lavra.train.objective import Objective, sequence_to_sequence_loss, token_loss
    from lavra.train.schedule import ScheduleConfig
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "CallbackHook": "hooks",
            "JsonlHook": "hooks",
            "Objective": "objective",
            "OptimizerConfig": "config",
            "Parallel": "config",
            "ScheduleConfig": "schedule",
            "TensorBoardHook": "hooks",
            "TrainConfig": "config",
            "TrainResult": "loop",
            "block_matrices": "loop",
            "checkpoint_folders": "checkpoint",
            "read_metrics": "hooks",
            "sequence_to_sequence_loss": "objective",
            "token_loss": "objective",
            "train": "loop",
        },
    )

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
