"""A task of GLUE or SuperGLUE with its recipe, and its predictions, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.errors import ConfigError
from lavra.runs.glue.rows import GlueRow
from lavra.runs.glue.scores import GluePrediction
from lavra.runs.glue.tasks import GlueTask

RECIPE_VERSION: Final = "1.0"
"""Raised by hand when the recipe means something else."""


@dataclass(frozen=True, kw_only=True)
class GlueRecipe:
    """The recipe of every task.

    Attributes:
        most_rows: training rows learnt from, drawn by the seed where there are more.
        limit: rows of a development set that are scored, its first ones; None scores all.
        epochs: times the rows are read.
        least_steps: optimizer steps at least.
        batch_size: rows a step.
        learning_rate: peak of the learning rate.
        seed: seed of the head, the order and the draw of rows.
    """

    most_rows: int = 2000
    limit: int | None = None
    epochs: float = 3.0
    least_steps: int = 200
    batch_size: int = 16
    learning_rate: float = 5e-5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("most_rows", "limit", "least_steps", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")

    def steps(self, num_rows: int) -> int:
        """Optimizer steps over some rows."""
        return max(self.least_steps, round(self.epochs * num_rows / self.batch_size))

    def in_words(self) -> str:
        """The recipe in one line for tables."""
        return (
            f"at most {self.most_rows:,} rows, {self.epochs:g} epochs and at least {self.least_steps} steps of "
            f"{self.batch_size} rows, AdamW at {self.learning_rate:g}"
        )


@dataclass(frozen=True, kw_only=True)
class GlueJob:
    """A task to be learnt by a model.

    Attributes:
        task: the task.
        base: folder of the model.
        recipe: the recipe of the training.
        folder: folder of checkpoints and predictions.
        train: rows to learn from.
        dev: rows to predict, by development set.
    """

    task: GlueTask
    base: Path
    recipe: GlueRecipe
    folder: Path
    train: Sequence[GlueRow]
    dev: Mapping[str, Sequence[GlueRow]]


@dataclass(frozen=True, kw_only=True)
class GlueLearnt:
    """The predictions of a finetuned model for each development set, and their cost.

    Attributes:
        said: the prediction for each row, by development set.
        majority: accuracy of always answering the training rows' most frequent label; None where that means nothing.
        num_tokens: tokens read in predicting.
        num_cut: rows cut to the model's context.
        seconds: seconds of training and predicting.
        reused: whether an earlier run had predicted it.
    """

    said: Mapping[str, tuple[GluePrediction, ...]]
    majority: float | None
    num_tokens: int
    num_cut: int
    seconds: float = 0.0
    reused: bool = False
