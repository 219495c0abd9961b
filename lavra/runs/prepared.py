"""What `lavra finetune` and `lavra distill` prepare alike: labelled data, recipe, lesson, settings of training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lavra.adapt.inject import Counts, count_parameters
from lavra.base.errors import InputError
from lavra.data.labelled.problems import DataReport
from lavra.tasks.learning.labelled import Labelled
from lavra.tasks.learning.recipe import Lesson, Recipe
from lavra.tasks.learning.settings import SupervisedConfig
from lavra.tasks.scoring.heads import majority
from lavra.tokens.tokenizer import Tokenizer
from lavra.train import OptimizerConfig, ScheduleConfig, TrainConfig
from lavra.train.estimate import MemoryEstimate, module_memory

ConfigOf = TypeVar("ConfigOf", bound=SupervisedConfig)


@dataclass(frozen=True, kw_only=True)
class PreparedRun(Generic[ConfigOf]):
    """A run on labelled samples that is ready to go.

    Attributes:
        config: its settings.
        base: folder of the model it starts from; of the teacher where there is one.
        data: labelled samples.
        recipe: the model that is trained and its task.
        lesson: what is learnt.
        tokenizer: of the model.
        train: settings of the training loop.
        notes: what was chosen for the user, to be shown.
    """

    config: ConfigOf
    base: Path
    data: Labelled
    recipe: Recipe
    lesson: Lesson
    tokenizer: Tokenizer
    train: TrainConfig
    notes: tuple[str, ...] = ()

    def reports(self) -> list[DataReport]:
        """What is wrong with the data."""
        return self.data.reports(self.lesson.troubles)

    def footprint(self) -> MemoryEstimate:
        """Memory of training."""
        return module_memory(self.recipe.module(), self.lesson.objective, self.train)

    @property
    def parameters(self) -> Counts:
        """How many are trained, and how many there are."""
        return count_parameters(self.recipe.module())

    @property
    def majority(self) -> float | None:
        """Accuracy of always answering the training data's most frequent label; None where that means nothing."""
        return majority(self.data.train, self.data.heldout)

    def refuse_troubles(self) -> None:
        """Raise InputError where there is anything wrong with the data and `strict` is set."""
        reports = self.reports()
        if self.config.strict and any(report.groups for report in reports):
            lines = [line for report in reports for line in report.lines()]
            raise InputError("the data has troubles, and strict is set:\n" + "\n".join(lines))


def training_settings(config: SupervisedConfig, lesson: Lesson) -> TrainConfig:
    """Of the training loop: AdamW, a rate that rises and then falls to 0 in a straight line (Devlin et al. 2019)."""
    an_epoch = math.ceil(lesson.batches_an_epoch / config.accumulation)
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
