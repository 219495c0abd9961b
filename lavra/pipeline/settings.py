"""The settings of `lavra up` and `lavra pretrain`: everything a user decides, and the one table of budget shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lavra.base.config import Duration, to_mapping
from lavra.base.errors import ConfigError, nearest
from lavra.base.units import parse_duration
from lavra.model.config import Kind
from lavra.model.families.table import DEFAULT_FAMILY, family_names, preset
from lavra.pipeline.noise import Noise
from lavra.text.sources.source import Source, as_source
from lavra.text.sources.stdlib import stdlib_source
from lavra.train.config import Parallel

# The share of --budget of each training stage, where all of them have work; see `shares`.
SHARES: Final[dict[str, float]] = {
    "pretrain": 0.85,
    "adapt": 0.06,
    "encoder": 0.04,
    "compress": 0.03,
    "benchmarks": 0.02,
}

# The settings that decide a plan, besides text, tokenizer and machine.
_PLANNED: Final = (
    "budget",
    "family",
    "sequence_length",
    "seed",
    "fim_rate",
    "whole_words",
    "mask_share",
    "hidden_size",
    "num_layers",
    "step_tokens",
    "accumulation",
    "optimizer",
    "learning_rate",
    "activation_checkpointing",
    "compile",
    "parallel",
)

StartMethod = Literal["full", "lora"]
"""The trained part of an existing model: all of it, or a LoRA that is folded into it afterwards."""

_MASK_SHARE = 0.4  # share of hidden tokens in training: more targets a row, because a run of minutes has too few
_LONG_BUDGET = 7200.0  # seconds of budget; from this on rows and vocabulary are larger
LEAST_ROW: Final = 64  # tokens
DEFAULT_OPTIMIZER: Final[Literal["muon", "adamw"]] = "muon"
_LEAST_BUDGET = 10.0  # seconds; under this not even a batch of the smallest model is learnt from


@dataclass(frozen=True, kw_only=True)
class UpConfig:
    """The settings of `lavra up`.

    Attributes:
        text: a file or folder of text; without it the Python standard library of this machine.
        text_field: the field of jsonl, or the column of csv, tsv and parquet, that holds the text.
        start: an existing model to train further (a folder, a .gguf file, a name or a hub id) instead of a fresh model.
        start_method: full trains all of it, lora a LoRA that is folded into it afterwards; auto takes full where
            memory holds it.
        family: llama, mistral, qwen2, gpt2, falcon, bert, roberta or t5.
        budget: time for all training stages together, such as 4m.
        vocab_size: entries of the tokenizer; without it the budget and the size of the text decide.
        sequence_length: tokens in a training row, and the context the model is made for; without it the budget and
            the size of the text decide.
        heldout_fraction: share of the text, in bytes, that is never trained on; of little text, a tenth.
        split_seed: seed of the choice of held-out documents.
        seed: seed of the weights and of the order of the data.
        fim_rate: share of documents rearranged for fill-in-the-middle (decoders only).
        whole_words: hide whole words instead of single tokens (bert and roberta only).
        mask_share: share of the tokens hidden in training (bert and roberta only); without it 0.4, where evaluation
            hides 0.15: a short run learns more from more (Wettig et al. 2022).
        hidden_size: width of the model, a multiple of 64; without it the budget decides.
        num_layers: number of layers; without it the budget decides.
        step_tokens: tokens read in an optimizer step; without it the budget decides.
        accumulation: parts a step is computed in, to save memory; the result is the same.
        optimizer: muon or adamw; without it muon for a fresh model, and adamw for an existing one.
        learning_rate: peak learning rate; without it the optimizer's usual rate.
        activation_checkpointing: recompute activations instead of keeping them: less memory, a third more time.
        compile: auto, on or off.
        parallel: ddp or fsdp, where torchrun started several processes.
        tensorboard: folder for TensorBoard's logs.
        num_samples: completions of held-out text shown in the report.

    Example:
        >>> settings = lavra.UpConfig(family="bert", budget="1m")  # for pretrain("texts", settings=settings)
        >>> settings.budget
        60.0
    """

    text: Path | None = None
    text_field: str = "text"
    start: str | None = None
    start_method: Literal["auto", "full", "lora"] = "auto"
    family: str = DEFAULT_FAMILY
    budget: Duration = 240.0
    vocab_size: int | None = None
    sequence_length: int | None = None
    heldout_fraction: float = 0.05
    split_seed: int = 0
    seed: int = 0
    fim_rate: float = 0.0
    whole_words: bool = False
    mask_share: float | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    step_tokens: int | None = None
    accumulation: int = 1
    optimizer: Literal["muon", "adamw"] | None = None
    learning_rate: float | None = None
    activation_checkpointing: bool = False
    compile: Literal["auto", "on", "off"] = "auto"
    parallel: Parallel = Parallel.NONE
    tensorboard: Path | None = None
    num_samples: int = 4

    def __post_init__(self) -> None:
        if self.family not in family_names():
            raise ConfigError(f"family is {self.family!r}{nearest(self.family, family_names())}")
        if isinstance(self.budget, str):  # in Python a duration may be written as in a file
            object.__setattr__(self, "budget", parse_duration(self.budget))
        if self.budget < _LEAST_BUDGET:
            raise ConfigError(f"budget is {self.budget:g}s, under {_LEAST_BUDGET:g}s; give more, such as 4m")
        if self.sequence_length is not None and (self.sequence_length < LEAST_ROW or self.sequence_length % LEAST_ROW):
            raise ConfigError(
                f"sequence_length is {self.sequence_length}; give a multiple of 64, which kernels and exports need"
            )
        if self.hidden_size is not None and (self.hidden_size < 64 or self.hidden_size % 64):
            raise ConfigError(
                f"hidden_size is {self.hidden_size}; give a multiple of 64, which exports and kernels need"
            )
        for name in ("num_layers", "step_tokens", "accumulation"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if self.start is None and self.start_method != "auto":
            raise ConfigError(
                f"start_method is {self.start_method!r}, but start is not given; give it, or leave start_method out"
            )
        self.noise.check(self.kind)

    @property
    def kind(self) -> Kind:
        """The kind of this family's models: decoder, encoder or encoder-decoder."""
        return preset(self.family, vocab_size=64, hidden_size=64, num_layers=1, num_heads=1, max_positions=64).kind

    @property
    def noise(self) -> Noise:
        """The noise of the objective."""
        share = _MASK_SHARE if self.mask_share is None and self.kind is Kind.ENCODER else self.mask_share
        return Noise(fim_rate=self.fim_rate, whole_words=self.whole_words, mask_share=share)

    def plan_settings(self) -> dict[str, Any]:
        """The settings a training plan follows from."""
        plain = to_mapping(self)
        plain["optimizer"] = self.optimizer or DEFAULT_OPTIMIZER
        return {name: plain[name] for name in _PLANNED}

    @property
    def context(self) -> int:
        """Tokens in a row: in minutes a model learns more from short rows (docs/log.md)."""
        if self.sequence_length is not None:
            return self.sequence_length
        return 256 if self.budget < _LONG_BUDGET else 512

    @property
    def tokenizer_size(self) -> int:
        """The largest number of tokenizer entries: a model trained for minutes cannot learn a large vocabulary."""
        if self.vocab_size is not None:
            return self.vocab_size
        return 4096 if self.budget < _LONG_BUDGET else 8192

    def source(self) -> Source:
        """The source of the text.

        Raises:
            InputError: the path does not exist, or there is no usable standard library.
        """
        return stdlib_source() if self.text is None else as_source(self.text)


def planned_shares() -> dict[str, float]:
    """The table as plans are named by it: benchmarks take their time from compress, so no plan changes its name."""
    given = dict(SHARES)
    given["compress"] += given.pop("benchmarks")
    return given


def shares(kind: Kind, *, teaches_answers: bool, teaches_vectors: bool) -> dict[str, float]:
    """The share of the budget of each stage, as far as it is known before the first step; the shares sum to 1.

    An encoder writes no answers, so its encoder stage gets the time of its adapt stage.
    Only decoders have benchmarks, so the compress stage of other kinds gets that time.
    A share that a stage cannot use, because the text has too few samples, goes to pretraining.

    Args:
        kind: kind of the model.
        teaches_answers: whether the text gives enough instructions.
        teaches_vectors: whether it gives enough pairs.
    """
    given = dict(SHARES)
    if kind is Kind.ENCODER:
        given["encoder"] += given.pop("adapt")
    if kind is not Kind.DECODER:
        given["compress"] += given.pop("benchmarks")
    unused = [name for name, works in (("adapt", teaches_answers), ("encoder", teaches_vectors)) if not works]
    given["pretrain"] += sum(given.pop(name, 0.0) for name in unused)
    return given
