"""The settings of runs that learn from labelled samples: `lavra finetune`, and the part shared with `lavra distill`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from lavra.adapt.config import AdapterConfig, VirtualTokensConfig
from lavra.adapt.methods.table import method_of, method_starts, method_word
from lavra.base.errors import ConfigError
from lavra.base.one_of import OneOf, ShortKey
from lavra.base.tasks import Problem
from lavra.data.labelled.columns import column_roles
from lavra.tasks.table import Task, task_named
from lavra.tokens.tokenizer import Tokenizer

MethodSetting = Annotated[
    AdapterConfig | None,
    OneOf(
        starts=method_starts,
        word_of=method_word,
        short_keys=(
            ShortKey(key="rank", field="rank", kept=8),
            ShortKey(key="alpha", field="alpha"),
            ShortKey(key="dropout", field="dropout", kept=0.0),
            ShortKey(key="targets", field="targets", kept=[]),
            ShortKey(key="rslora", field="rslora", kept=False),
            ShortKey(key="bottleneck", field="size", kept=64),
            ShortKey(key="virtual_tokens", field="num_tokens", kept=20),
            ShortKey(key="prompt_text", field="text"),
        ),
    ),
]
"""A method as a setting: the settings of its adapter, `None` where all of the model is trained.

In YAML it is a word, or a table with `name`.  The short keys stand beside it; in flags and cards they take the place of
the fields they stand for, as they always have.
"""


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """Settings of sentence embeddings: the pooling of tokens into vectors, and the loss of pairs of texts.

    Attributes:
        pooling: mean, cls or last.
        loss: in-batch (the other samples of a batch are negatives) or triplet; for pairs with scores cosine or cosent.
            The data decides unless it is given.
        symmetric: take in-batch negatives in both directions.
        sizes: lengths of the beginnings of a vector that can be used alone, the whole vector's among them (Matryoshka).
        chunk_rows: texts embedded at a time, for batches that would not fit into memory; a third slower.
    """

    pooling: Literal["mean", "cls", "last"] = "mean"
    loss: Literal["in-batch", "triplet", "cosine", "cosent"] | None = None
    symmetric: bool = False
    sizes: tuple[int, ...] = ()
    chunk_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Settings of every run that learns from labelled samples.

    Attributes:
        task: the task to learn: classify, tag, answer, choose, rerank, embed, chat or rewrite.
        data: a file of labelled samples, or a folder with train, validation and test files.
        heldout: a file to measure on; unless given, the folder's validation file or a part of the training data.
        heldout_fraction: share of the training data kept for measuring where there is no file to measure on.
        columns: the role of each column, as role=column, such as text=review label=stars.
        header: whether the first row of a csv or tsv file names its columns; else they are called 1, 2, ...
        problem: the kind of the labels, where the data leaves it open.
        epochs: times the training data is read.
        steps: optimizer steps, instead of epochs.
        batch_size: samples of a micro-batch; of chat and rewrite, which are packed into rows, about this many.
        accumulation: micro-batches of a step.
        learning_rate: the highest rate; the usual one of the task or the method unless given.
        weight_decay: weight decay of matrices.
        warmup: share of the steps in which the rate rises; then it falls to 0 in a straight line.
        max_tokens: most tokens of a row; 256 (answer, chat and rewrite: 384) within the model's context unless given.
        on_long: longer samples are cut or dropped, or the run is refused: cut, drop or refuse.
        separator: text between source and target where a decoder rewrites; requests to the model must end with it too.
        precision: float32 or bf16.
        compile: compile the model: auto, on or off.
        save_every: steps between checkpoints, from which a stopped run goes on.
        seed: seed of weights, order and dropout.
        strict: refuse data with any issue instead of going on with the rest.
    """

    task: Task
    data: Path
    heldout: Path | None = None
    heldout_fraction: float = 0.1
    columns: tuple[str, ...] = ()
    header: bool = True
    problem: Problem | None = None
    epochs: float = 3.0
    steps: int | None = None
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_tokens: int | None = None
    on_long: Literal["cut", "drop", "refuse"] = "cut"
    separator: str = ""
    precision: Literal["float32", "bf16"] = "float32"
    compile: Literal["auto", "on", "off"] = "off"
    save_every: int = 500
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.task, str):  # in Python a task is written by its name, as in a file
            object.__setattr__(self, "task", task_named(self.task))
        if not 0 < self.heldout_fraction < 1:
            raise ConfigError(f"heldout_fraction is {self.heldout_fraction}; give a share between 0 and 1")
        if not self.epochs > 0:
            raise ConfigError(f"epochs is {self.epochs}; give a number over 0")
        for name in ("steps", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        column_roles(self.columns)

    @property
    def peak(self) -> float:
        """The learning rate's peak; the task's usual one unless given."""
        return self.task.learning_rate if self.learning_rate is None else self.learning_rate

    def num_virtual(self, tokenizer: Tokenizer) -> int:
        """Virtual tokens in front of every text."""
        return 0

    def max_length(self, context: int | None, tokenizer: Tokenizer) -> int:
        """Most tokens of a row, in a model that reads at most `context` of them, virtual ones included.

        Raises:
            ConfigError: `max_tokens` is more than the model reads.
        """
        context = None if context is None else context - self.num_virtual(tokenizer)
        if self.max_tokens is None:
            return self.task.tokens if context is None else min(self.task.tokens, context)
        if context is not None and self.max_tokens > context:
            raise ConfigError(f"max_tokens is {self.max_tokens} and the model reads at most {context}; give less")
        return self.max_tokens


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(SupervisedConfig):
    """Settings of `lavra finetune`.

    Attributes:
        method: full trains all of the model; lora, dora, ia3, houlsby, pfeiffer, prompt and prefix train an adapter.
        embed: settings of sentence embeddings.
        eval_every: steps between measurements; 0 measures at the end only.
        patience: measurements without improvement before the run stops early; 0 never does.

    Example:
        >>> settings = lavra.FinetuneConfig(task="classify", data="reviews.csv", steps=1)
        >>> lavra.finetune("tiny-bert", settings=settings, name="one-step", progress=False).folder.name
        'one-step'
    """

    method: MethodSetting = None
    embed: EmbedSettings = field(default_factory=EmbedSettings)
    eval_every: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method is not None and not isinstance(self.method, AdapterConfig):
            raise ConfigError(f"method is {self.method!r}; give the settings of an adapter, such as LoraConfig(rank=8)")

    @property
    def peak(self) -> float:
        """The learning rate's peak; the usual one of the task, or of the method, unless given."""
        if self.learning_rate is not None or self.method is None:
            return super().peak
        return method_of(self.method).learning_rate

    def num_virtual(self, tokenizer: Tokenizer) -> int:
        """Virtual tokens in front of every text: those of a soft prompt or prefix."""
        adapter = self.adapter(tokenizer, whole=())
        return adapter.num_tokens if isinstance(adapter, VirtualTokensConfig) else 0

    def adapter(self, tokenizer: Tokenizer, *, whole: tuple[str, ...]) -> AdapterConfig | None:
        """The configuration of the run's adapter, or None for full finetuning.

        Args:
            tokenizer: the model's tokenizer, for a soft prompt's first text.
            whole: modules trained whole beside it, such as a task's head.
        """
        if self.method is None:
            return None
        saved = tuple(dict.fromkeys((*whole, *self.method.modules_to_save)))
        return replace(self.method.with_tokenizer(tokenizer), modules_to_save=saved)
