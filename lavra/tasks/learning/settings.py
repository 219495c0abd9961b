"""The settings of `lavra finetune` and of what else learns from labelled samples: everything a user decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, Literal

from lavra.adapt.config import (
    ALL_LINEAR,
    AdapterConfig,
    BottleneckConfig,
    IA3Config,
    LoraConfig,
    Patterns,
    PrefixConfig,
    PromptConfig,
)
from lavra.base.errors import ConfigError
from lavra.base.tasks import Problem, Task
from lavra.data.labelled.columns import column_roles
from lavra.tokens.tokenizer import Tokenizer


class Method(Enum):
    """What of a model is trained."""

    FULL = "full"  # all of it
    LORA = "lora"
    DORA = "dora"
    IA3 = "ia3"
    HOULSBY = "houlsby"
    PFEIFFER = "pfeiffer"
    PROMPT = "prompt"
    PREFIX = "prefix"


# Peaks that served small models well (docs/finetune.md); what is trained less is pushed harder.
LEARNING_RATES: Final[dict[Method, float]] = {
    Method.FULL: 5e-5,
    Method.LORA: 1e-3,
    Method.DORA: 1e-3,
    Method.IA3: 1e-2,
    Method.HOULSBY: 1e-3,
    Method.PFEIFFER: 1e-3,
    Method.PROMPT: 3e-2,
    Method.PREFIX: 1e-2,
}
_USUAL_TOKENS: Final = 256  # of a row: attention to more costs most of a small machine's time
_LONG_TASKS: Final = (Task.QA, Task.CHAT, Task.TEXT2TEXT)
_LONG_TOKENS: Final = 384


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """How texts become vectors, and what is learnt of pairs of them.

    Attributes:
        pooling: mean, cls or last.
        loss: in-batch (the other samples of a batch are negatives), triplet, or, of pairs with scores, cosine or
            cosent; what fits the data unless given.
        symmetric: in-batch negatives in both directions.
        sizes: beginnings of a vector that are to do by themselves, the whole one among them (Matryoshka).
        chunk_rows: texts embedded at a time, for batches that would not fit; a third slower.
    """

    pooling: Literal["mean", "cls", "last"] = "mean"
    loss: Literal["in-batch", "triplet", "cosine", "cosent"] | None = None
    symmetric: bool = False
    sizes: tuple[int, ...] = ()
    chunk_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """What a run that learns from labelled samples is asked for, whatever it trains.

    Attributes:
        task: classify, ner, qa, choice, embed, rerank, chat or text2text.
        data: a file of labelled samples, or a folder with train, validation and test files.
        heldout: a file to measure on; otherwise the folder's validation file, else part of the training data.
        heldout_fraction: share of the training data kept for measuring where no file is for it.
        columns: which column is what, as role=column, such as text=review label=stars.
        header: whether the first row of a csv or tsv file names its columns; else they are called 1, 2, ...
        problem: what labels are, where the data leaves it open.
        epochs: how often the training data is read.
        steps: optimizer steps, instead of epochs.
        batch_size: samples in a micro-batch (chat and text2text, packed into rows: about so many).
        accumulation: micro-batches a step.
        learning_rate: its peak; the usual one of what is trained unless given.
        weight_decay: of matrices.
        warmup: share of the steps in which the rate rises; then it falls to 0 in a straight line.
        max_tokens: of a row; 256 (questions, conversations, rewriting: 384) within the model's context unless given.
        on_long: what becomes of longer samples: cut, drop or refuse.
        separator: written between source and target where a decoder rewrites; what asks it must write it too.
        precision: float32 or bf16.
        compile: auto, on or off.
        save_every: steps between checkpoints, from which a run that was stopped goes on.
        seed: of weights, order and dropout.
        strict: refuse data with any trouble instead of going on with the rest.
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
        """The learning rate's peak."""
        return LEARNING_RATES[Method.FULL] if self.learning_rate is None else self.learning_rate

    def num_virtual(self, tokenizer: Tokenizer) -> int:
        """Virtual tokens in front of every text."""
        return 0

    def room(self, context: int | None, tokenizer: Tokenizer) -> int:
        """Tokens of a row, in a model that reads at most `context` of them, virtual ones included.

        Raises:
            ConfigError: more are asked for than the model reads.
        """
        context = None if context is None else context - self.num_virtual(tokenizer)
        if self.max_tokens is None:
            usual = _LONG_TOKENS if self.task in _LONG_TASKS else _USUAL_TOKENS
            return usual if context is None else min(usual, context)
        if context is not None and self.max_tokens > context:
            raise ConfigError(f"max_tokens is {self.max_tokens} and the model reads at most {context}; give less")
        return self.max_tokens


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(SupervisedConfig):
    """What `lavra finetune` is asked for.

    Attributes:
        method: full, lora, dora, ia3, houlsby, pfeiffer, prompt or prefix.
        rank: of LoRA and DoRA.
        alpha: of LoRA and DoRA; twice the rank unless given.
        dropout: of LoRA and DoRA.
        targets: layers LoRA, DoRA and IA3 change, by the ends of their names, or all-linear.
        rslora: scale LoRA by the root of its rank.
        bottleneck: channels of a Houlsby or Pfeiffer adapter.
        virtual_tokens: of a soft prompt or prefix.
        prompt_text: text a soft prompt starts from.
        embed: of sentence embeddings.
        eval_every: steps between measurements; 0 measures at the end only.
        patience: measurements without improvement before the run stops early; 0 never does.
    """

    method: Method = Method.FULL
    rank: int = 8
    alpha: float | None = None
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    rslora: bool = False
    bottleneck: int = 64
    virtual_tokens: int = 20
    prompt_text: str | None = None
    embed: EmbedSettings = field(default_factory=EmbedSettings)
    eval_every: int = 0
    patience: int = 0

    @property
    def peak(self) -> float:
        """The learning rate's peak; the method's usual one unless given."""
        return LEARNING_RATES[self.method] if self.learning_rate is None else self.learning_rate

    def num_virtual(self, tokenizer: Tokenizer) -> int:
        """Virtual tokens in front of every text: those of a soft prompt or prefix."""
        adapter = self.adapter(tokenizer, whole=())
        return adapter.num_tokens if isinstance(adapter, PromptConfig | PrefixConfig) else 0

    def adapter(self, tokenizer: Tokenizer, *, whole: tuple[str, ...]) -> AdapterConfig | None:
        """The adapter the method asks for, or None for full finetuning.

        Args:
            tokenizer: of the model, for a soft prompt's first text.
            whole: modules trained whole beside it, such as a task's head.
        """
        return None if self.method is Method.FULL else _adapter(self, tokenizer, whole)


def _adapter(config: FinetuneConfig, tokenizer: Tokenizer, whole: tuple[str, ...]) -> AdapterConfig:
    method = config.method
    if method in (Method.LORA, Method.DORA):
        return LoraConfig(
            rank=config.rank,
            alpha=2.0 * config.rank if config.alpha is None else config.alpha,
            dropout=config.dropout,
            targets=_targets(config, ALL_LINEAR),
            rslora=config.rslora,
            dora=method is Method.DORA,
            modules_to_save=whole,
        )
    if method is Method.IA3:
        return IA3Config(targets=_targets(config, IA3Config.targets), modules_to_save=whole)
    if method is Method.HOULSBY:
        return BottleneckConfig(size=config.bottleneck, modules_to_save=whole)
    if method is Method.PFEIFFER:
        return BottleneckConfig(size=config.bottleneck, after=BottleneckConfig.pfeiffer().after, modules_to_save=whole)
    if method is Method.PREFIX:
        return PrefixConfig(num_tokens=config.virtual_tokens, modules_to_save=whole)
    if config.prompt_text is None:
        return PromptConfig(num_tokens=config.virtual_tokens, modules_to_save=whole)
    ids = tuple(tokenizer.encode(config.prompt_text))
    return PromptConfig(num_tokens=max(config.virtual_tokens, len(ids)), init_ids=ids, modules_to_save=whole)


def _targets(config: FinetuneConfig, usual: Patterns) -> Patterns:
    if not config.targets:
        return usual
    return ALL_LINEAR if config.targets == (ALL_LINEAR,) else config.targets
