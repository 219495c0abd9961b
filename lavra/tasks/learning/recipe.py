"""What a task does differently: the port between runs (`lavra.runs`) and tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import nn

from lavra.adapt.config import PrefixConfig, PromptConfig
from lavra.data.labelled.samples import Sample, Trouble
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.language import LanguageRows
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.heads import TaskConfig, TaskModel
from lavra.train.objective import AnyObjective


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a model does on held-out samples.

    Attributes:
        main: name of the score that counts.
        values: every score by name.
        lower_is_better: whether a small main score is the good one (a loss).
        num_samples: samples measured.
    """

    main: str
    values: Mapping[str, float] = field(default_factory=dict)
    lower_is_better: bool = False
    num_samples: int = 0

    @property
    def value(self) -> float:
        """The score that counts."""
        return self.values[self.main]

    @property
    def to_minimise(self) -> float:
        """The same, smaller for better models."""
        return self.value if self.lower_is_better else -self.value


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learnt from some samples.

    Attributes:
        rows: the samples as the model reads them.
        objective: batches of these rows, and their loss.
        num_samples: samples an epoch shows.
        batches_an_epoch: micro-batches of it.
        troubles: samples that were cut or left out.
    """

    rows: TaskRows | LanguageRows
    objective: AnyObjective
    num_samples: int
    batches_an_epoch: int
    troubles: tuple[Trouble, ...]


class Recipe(Protocol):
    """A model and what its task does with it.

    Attributes:
        form: how samples become rows.
        virtual: ids of an adapter's virtual tokens, put in front of every text.
    """

    form: RowFormat
    virtual: tuple[int, ...]

    @property
    def model_config(self) -> ModelConfig:
        """Of the model below head and pooling."""
        ...

    @property
    def head(self) -> TaskConfig | None:
        """What the outputs of the task's head mean; None for a model without a head."""
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
        """What is trained; the same object every time."""
        ...

    def put_in_front(self, virtual: tuple[int, ...], adapter: PromptConfig | PrefixConfig) -> None:
        """Begin every text with the virtual tokens of an adapter."""
        ...

    def lesson(self, samples: Sequence[Sample]) -> Lesson:
        """What is learnt from these samples."""
        ...

    def score(self, samples: Sequence[Sample]) -> Scores:
        """How well the module does as it stands."""
        ...

    def save(self, folder: Path) -> None:
        """Write the module as a model folder, without its tokenizer."""
        ...


class TeachableRecipe(Recipe, Protocol):
    """A recipe whose model can teach a student or be one: it says logits of labels or of tokens."""

    @property
    def model(self) -> Model | TaskModel:
        """What is trained, as the model it is."""
        ...
