"""The common preparation of `lavra finetune` and `lavra distill`: labelled data, recipe, training task, settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lavra.adapt.inject import ParameterCounts, count_parameters
from lavra.base.errors import InputError
from lavra.data.labelled.problems import DataReport
from lavra.tasks.learning.labelled import Labelled
from lavra.tasks.learning.recipe import Recipe, TrainingTask
from lavra.tasks.learning.settings import SupervisedConfig
from lavra.tasks.scoring.heads import majority
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.estimate import MemoryEstimate, module_memory
from lavra.train.schedule import ScheduleConfig

ConfigOf = TypeVar("ConfigOf", bound=SupervisedConfig)


@dataclass(frozen=True, kw_only=True)
class PreparedRun(Generic[ConfigOf]):
    """A run on labelled samples that is ready to go.

    Attributes:
        config: settings of the run.
        base: folder of the model it starts from; of the teacher where there is one.
        data: labelled samples.
        recipe: the model that is trained and its task.
        training_task: the rows and the objective.
        tokenizer: tokenizer of the model.
        train: settings of the training loop.
        notes: choices made for the user, to be shown.
    """

    config: ConfigOf
    base: Path
    data: Labelled
    recipe: Recipe
    training_task: TrainingTask
    tokenizer: Tokenizer
    train: TrainConfig
    notes: tuple[str, ...] = ()

    def reports(self) -> list[DataReport]:
        """The reports of the data's issues."""
        return self.data.reports(self.training_task.issues)

    def footprint(self) -> MemoryEstimate:
        """The memory that training takes."""
        return module_memory(self.recipe.module(), self.training_task.objective, self.train)

    @property
    def parameters(self) -> ParameterCounts:
        """The number of trained parameters, and of all."""
        return count_parameters(self.recipe.module())

    @property
    def majority(self) -> float | None:
        """Accuracy of always answering the training data's most frequent label; None where that means nothing."""
        return majority(self.data.train, self.data.heldout)

    def refuse_issues(self) -> None:
        """Raise InputError where the data has any issue and `strict` is set."""
        reports = self.reports()
        if self.config.strict and any(report.groups for report in reports):
            lines = [line for report in reports for line in report.lines()]
            raise InputError("the data has issues, and strict is set:\n" + "\n".join(lines))


def training_settings(config: SupervisedConfig, training_task: TrainingTask) -> TrainConfig:
    """Settings of the loop: AdamW, a rate that rises, then falls to 0 in a straight line (Devlin et al. 2019)."""
    an_epoch = math.ceil(training_task.batches_an_epoch / config.accumulation)
    return TrainConfig(
        num_steps=config.steps or max(1, round(config.epochs * an_epoch)),
        accumulation=config.accumulation,
        optimizer=OptimizerConfig(
            kind="adamw", learning_rate=config.peak, weight_decay=config.weight_decay, beta2=0.999
        ),
        schedule=ScheduleConfig(kind="wsd", warmup=config.warmup, decay=1 - config.warmup),
        precision=config.precision,
        compile=config.compile,
        save_every=config.save_every,
        keep_checkpoints=1,
        seed=config.seed,
    )
