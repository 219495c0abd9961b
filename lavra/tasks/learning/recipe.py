"""The port between runs (`lavra.runs`) and tasks: everything that differs by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from lavra.adapt.config import VirtualTokensConfig
from lavra.data.labelled.samples import DataIssue, Sample
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.language import LanguageRows
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.heads import TaskModel
from lavra.model.task_config import TaskConfig
from lavra.tasks.scoring.scores import Scores
from lavra.train.objective import AnyObjective


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """The rows and the objective made of some samples.

    Attributes:
        rows: the samples as the model reads them.
        objective: batches of these rows, and their loss.
        num_samples: samples an epoch shows.
        batches_an_epoch: micro-batches of it.
        issues: samples that were cut or left out.
    """

    rows: TaskRows | LanguageRows
    objective: AnyObjective
    num_samples: int
    batches_an_epoch: int
    issues: tuple[DataIssue, ...]


class Recipe(Protocol):
    """A model, and the functions of its task.

    Attributes:
        form: the format of the rows.
        virtual: ids of an adapter's virtual tokens, put in front of every text.
    """

    form: RowFormat
    virtual: tuple[int, ...]

    @property
    def model_config(self) -> ModelConfig:
        """The configuration of the model below head and pooling."""
        ...

    @property
    def head(self) -> TaskConfig | None:
        """The meaning of the outputs of the task's head; None for a model without a head."""
        ...

    @property
    def num_virtual(self) -> int:
        """Virtual tokens at the start of each row's input; 0 where they are in the target, as T5's prefix is."""
        ...

    @property
    def trained_whole(self) -> tuple[str, ...]:
        """Modules trained whole beside an adapter, such as a head."""
        ...

    def module(self) -> nn.Module:
        """The trained module; the same object every time."""
        ...

    def put_in_front(self, virtual: tuple[int, ...], adapter: VirtualTokensConfig) -> None:
        """Begin every text with the virtual tokens of an adapter."""
        ...

    def training_task(self, samples: Sequence[Sample]) -> TrainingTask:
        """The rows and the objective of these samples."""
        ...

    def score(self, samples: Sequence[Sample]) -> Scores:
        """The scores of the module with its present weights."""
        ...

    def save(self, folder: Path) -> None:
        """Write the module as a model folder, without its tokenizer."""
        ...


class TeachableRecipe(Recipe, Protocol):
    """A recipe whose model can teach a student or be one: it gives logits of labels or of tokens."""

    @property
    def model(self) -> Model | TaskModel:
        """The trained model, with its own type."""
        ...
