"""Tasks with a head: classification, tags, questions, choices, reranking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.virtual_rows import with_virtual_tokens
from lavra.base.errors import ConfigError
from lavra.base.lazy import resolve
from lavra.data.labelled.samples import ChoiceSample, QuestionSample, Sample, TagSample, TextSample
from lavra.data.rows.batches import RowBatches, TaskRows
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.endings import choice_rows
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.passages import question_rows
from lavra.data.rows.texts import text_rows
from lavra.data.rows.words import tag_rows
from lavra.model.config import ModelConfig
from lavra.model.families.head_forms import HeadInput
from lavra.model.heads import TaskModel
from lavra.model.task_config import TaskConfig
from lavra.model.task_folder import save_task_model
from lavra.model.transformer import EncoderDecoder
from lavra.tasks.learning.losses import task_loss
from lavra.tasks.learning.recipe import TrainingTask
from lavra.tasks.learning.settings import SupervisedConfig
from lavra.tasks.predicting.torch_headed import TorchHeadedModel
from lavra.tasks.scoring.heads import score_task
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.table import head_of
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.objective import TaskObjective


def labelled_texts(samples: Sequence[TextSample], form: RowFormat, head: TaskConfig) -> TaskRows:
    """Rows of texts or pairs, and their labels, numbers or relevance."""
    assert head.problem is not None
    return text_rows(samples, form, labels=head.labels, problem=head.problem)


def tagged_words(samples: Sequence[TagSample], form: RowFormat, head: TaskConfig) -> TaskRows:
    """Windows of sentences, and the tags of their words."""
    return tag_rows(samples, form, labels=head.labels)


def questions(samples: Sequence[QuestionSample], form: RowFormat, head: TaskConfig) -> TaskRows:
    """Windows of passages, and where the answers stand."""
    return question_rows(samples, form)


def choices(samples: Sequence[ChoiceSample], form: RowFormat, head: TaskConfig) -> TaskRows:
    """A row for each ending, and which is right."""
    return choice_rows(samples, form)


class HeadedRecipe:
    """A backbone and a head.

    Args:
        model: the model, with the task's head.
        tokenizer: the model's tokenizer.
        config: the run's settings.
        max_tokens: most tokens of a row.
    """

    def __init__(self, model: TaskModel, tokenizer: Tokenizer, config: SupervisedConfig, max_tokens: int) -> None:
        self.model, self.config = model, config
        self.virtual: tuple[int, ...] = ()
        self.headed = TorchHeadedModel(model, tokenizer, max_tokens=max_tokens)
        self.form = RowFormat(
            tokenizer=tokenizer,
            max_tokens=max_tokens,
            num_token_types=model.config.num_token_types,
            on_long=config.on_long,
            multiple=1,
        )

    @property
    def model_config(self) -> ModelConfig:
        """The configuration of the backbone."""
        return self.model.config

    @property
    def head(self) -> TaskConfig:
        """The meaning of the head's outputs."""
        return self.model.task

    @property
    def num_virtual(self) -> int:
        """Virtual tokens at the start of each row."""
        return len(self.virtual)

    @property
    def trained_whole(self) -> tuple[str, ...]:
        """Modules an adapter is saved with: the head, and a pooler that it reads."""
        return ("head", "pooler") if self.model.form.reads is HeadInput.POOLED else ("head",)

    def module(self) -> nn.Module:
        """The trained module."""
        return self.model

    def put_in_front(self, virtual: tuple[int, ...], adapter: VirtualTokensConfig) -> None:
        """Begin every text with virtual tokens.

        Raises:
            ConfigError: the virtual tokens are T5's prefix, which no head reads.
        """
        if adapter.in_target and isinstance(self.model.backbone, EncoderDecoder):
            raise ConfigError("T5's prefix is its decoder's, which a head does not write with; use prompt, lora or ia3")
        self.virtual = virtual

    def training_task(self, samples: Sequence[Sample]) -> TrainingTask:
        """Rows by like length, in an order that follows from the seed."""
        made: TaskRows = resolve(head_of(self.config.task).rows)(samples, self.form, self.model.task)
        rows = with_virtual_tokens(made, self.virtual)
        order = OrderConfig(batch_size=self.config.batch_size, seed=self.config.seed, group_by_length=True)
        batches = RowBatches(rows, order)
        return TrainingTask(
            rows=rows,
            objective=TaskObjective(batches=batches, loss=task_loss),
            num_samples=len(rows),
            batches_an_epoch=len(batches),
            issues=rows.issues,
        )

    def score(self, samples: Sequence[Sample]) -> Scores:
        """The task's usual scores."""
        self.headed.virtual = self.virtual
        return score_task(self.headed, samples)

    def save(self, folder: Path) -> None:
        """A folder that `AutoModelFor…` opens."""
        save_task_model(self.model, folder)
