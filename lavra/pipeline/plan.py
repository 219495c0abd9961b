"""The plan of a training run: shape, batch, precision, steps and schedule, as data; and the ladder of shapes.

`planning` makes the plan from time and machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from lavra.base.config import from_mapping, to_mapping
from lavra.base.files import read_json, write_json
from lavra.model.config import Kind, ModelConfig
from lavra.model.families.table import preset
from lavra.pipeline.objective import tokenizer_ids
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import TrainConfig

PLAN_FILE = "plan.json"


class BestShape(NamedTuple):
    """The best shape for a number of operations.

    Attributes:
        operations: least number of floating-point operations of a training run for this rung.
        hidden_size: D; heads have 64 channels, and all dimensions are multiples of 64.
        num_layers: L.
        step_tokens: tokens read in an optimizer step: more leave a short run too few steps.
    """

    operations: float
    hidden_size: int
    num_layers: int
    step_tokens: int


# A shape of N parameters is best for about 120 N^2 operations: 20 tokens a parameter (Hoffmann et al. 2022), which the
# runs in docs/log.md confirm down to half a million of them; a rung begins half way to the one below, in logarithms.
LADDER: Final = (
    BestShape(0.0, 64, 2, 1024),
    BestShape(1e12, 64, 3, 2048),
    BestShape(4e12, 64, 4, 4096),
    BestShape(30e12, 128, 3, 4096),
    BestShape(120e12, 128, 4, 4096),
    BestShape(400e12, 192, 5, 8192),
    BestShape(2e15, 256, 6, 8192),
    BestShape(1e16, 384, 6, 16384),
    BestShape(5e16, 512, 8, 16384),
    BestShape(3e17, 768, 12, 32768),
    BestShape(3e18, 1024, 16, 65536),
)
HEAD_CHANNELS: Final = 64
MOST_READ: Final = 8
"""Largest number of times a decoder reads its text.

Half a million parameters on 265,000 tokens of novels had 2.101 bits per byte of held-out text after 5 times, 2.036
after 8, 2.046 after 12 and 2.191 after 23 (docs/log.md; Muennighoff et al. 2023, section 5)."""
MOST_PARAMETERS: Final = 8
"""Largest number of parameters for each token of a text that is read this often.

On 42,000 tokens 5.7 had 1.910 bits per byte, 8 had 1.865 and 20 had 1.912; on 265,000 tokens 1.8 had 2.036 and 4.4
had 2.018."""


class TextSize(NamedTuple):
    """The size of the training text.

    Attributes:
        num_tokens: tokens of the training text.
        vocab_size: entries of its tokenizer.
    """

    num_tokens: int
    vocab_size: int


class Learning(NamedTuple):
    """The learning figures of a kind of model that a plan depends on (measured: docs/log.md).

    Attributes:
        taught: share of the tokens read that are targets; the ladder assumes all of them.
        stacks: number of stacks that share a rung's layers.
        least_heads: least number of heads; fewer cannot look left and right, or near and far, at once.
        rate: Muon's peak rate.
        embedding_rate: AdamW's peak rate, for embeddings, norms and the head.
    """

    taught: float
    stacks: int
    least_heads: int
    rate: float
    embedding_rate: float


LEARNING: Final = {
    Kind.DECODER: Learning(taught=1.0, stacks=1, least_heads=1, rate=5e-3, embedding_rate=5e-3),
    Kind.ENCODER: Learning(taught=0.3, stacks=1, least_heads=2, rate=1e-2, embedding_rate=5e-3),
    Kind.ENCODER_DECODER: Learning(taught=0.2, stacks=2, least_heads=2, rate=1e-2, embedding_rate=1e-2),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The fixed settings of a training run.

    Attributes:
        family: family of the model.
        hidden_size: D.
        num_layers: L.
        num_heads: H.
        sequence_length: T.
        batch_size: rows of a micro-batch, in each process.
        train: the settings of the loop.
        seed: seed of the weights and the data.
        seconds_per_step: measured time of a step, after compilation.
        compile_seconds: measured time of compilation.
        peak_flops: operations a second of a matrix product in this precision, measured.
        num_parameters: parameters of the model; shared parameters count once.
        seconds: planned time of the run.
    """

    family: str
    hidden_size: int
    num_layers: int
    num_heads: int
    sequence_length: int
    batch_size: int
    train: TrainConfig
    seed: int
    seconds_per_step: float = 0.0
    compile_seconds: float = 0.0
    peak_flops: float = 0.0
    num_parameters: int = 0
    seconds: float = 0.0

    @property
    def compiled(self) -> bool:
        """Whether blocks were compiled when the steps were timed; the run does the same."""
        return self.compile_seconds > 0

    def model_config(self, tokenizer: Tokenizer) -> ModelConfig:
        """The model's configuration for a tokenizer."""
        config = preset(
            self.family,
            vocab_size=round_up(tokenizer.vocab_size, 64),
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            max_positions=self.sequence_length,
        )
        return replace(config, **tokenizer_ids(config, tokenizer))

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready data."""
        return {**asdict(self), "train": to_mapping(self.train)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Plan:
        """Read a plan from the output of `to_plain`."""
        return cls(**{**plain, "train": from_mapping(TrainConfig, plain["train"], "plan")})

    def save(self, folder: Path) -> None:
        """Write `plan.json`."""
        write_json(folder / PLAN_FILE, self.to_plain())

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Read `plan.json`."""
        return cls.from_plain(read_json(folder / PLAN_FILE))


def round_up(value: int, multiple: int) -> int:
    """The least multiple that is at least the value."""
    return -(-value // multiple) * multiple


def choose_shape(operations: float, text: TextSize | None = None) -> BestShape:
    """The rung for a number of floating-point operations.

    Args:
        operations: operations that fit the time.
        text: size of the training text; where it would be read more than `MOST_READ` times, a rung of more parameters
            is taken, up to `MOST_PARAMETERS` for each of its tokens.
    """
    place = max(place for place, rung in enumerate(LADDER) if operations >= rung.operations)
    if text is None:
        return LADDER[place]
    fits = [_parameters(rung, text.vocab_size) <= MOST_PARAMETERS * text.num_tokens for rung in LADDER]
    largest = max((place for place, fit in enumerate(fits) if fit), default=0)
    while operations > MOST_READ * _reading(LADDER[place], text) and place != largest:
        place += 1 if place < largest else -1
    return LADDER[place]


def _parameters(rung: BestShape, vocab_size: int) -> int:
    """The number of parameters, about: 12 D^2 a layer and one matrix of embeddings (Kaplan et al. 2020, table 1)."""
    return 12 * rung.num_layers * rung.hidden_size**2 + vocab_size * rung.hidden_size


def _reading(rung: BestShape, text: TextSize) -> float:
    """The operations of reading a text once: 6 a parameter and token."""
    return 6.0 * _parameters(rung, text.vocab_size) * text.num_tokens
