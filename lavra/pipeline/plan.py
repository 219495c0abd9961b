"""The plan of a training run: shape, batch, precision, steps and schedule, as data; and the ladder of shapes.

How it is made from time and machine is in `planning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from lavra.base.config import from_mapping, to_mapping
from lavra.base.files import read_json, write_json
from lavra.model import ModelConfig, preset
from lavra.model.config import Kind
from lavra.pipeline.objective import tokenizer_ids
from lavra.tokens import Tokenizer
from lavra.train import TrainConfig

PLAN_FILE = "plan.json"


class Rung(NamedTuple):
    """What spends a number of operations best.

    Attributes:
        operations: floating-point operations of a training run, from which on this rung is taken.
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
    Rung(0.0, 64, 2, 1024),
    Rung(1e12, 64, 3, 2048),
    Rung(4e12, 64, 4, 4096),
    Rung(30e12, 128, 3, 4096),
    Rung(120e12, 128, 4, 4096),
    Rung(400e12, 192, 5, 8192),
    Rung(2e15, 256, 6, 8192),
    Rung(1e16, 384, 6, 16384),
    Rung(5e16, 512, 8, 16384),
    Rung(3e17, 768, 12, 32768),
    Rung(3e18, 1024, 16, 65536),
)
HEAD_CHANNELS: Final = 64
MOST_READ: Final = 8
"""Times a decoder reads its text.

Half a million parameters on 265,000 tokens of novels had 2.101 bits per byte of held-out text after 5 times, 2.036
after 8, 2.046 after 12 and 2.191 after 23 (docs/log.md; Muennighoff et al. 2023, section 5)."""
MOST_PARAMETERS: Final = 8
"""Parameters for each token of a text that is read so often.

On 42,000 tokens 5.7 had 1.910 bits per byte, 8 had 1.865 and 20 had 1.912; on 265,000 tokens 1.8 had 2.036 and 4.4
had 2.018."""


class TextSize(NamedTuple):
    """How much there is to learn from.

    Attributes:
        num_tokens: of the training text.
        vocab_size: of its tokenizer.
    """

    num_tokens: int
    vocab_size: int


class Learning(NamedTuple):
    """How a kind of model learns, as far as a plan depends on it (measured: docs/log.md).

    Attributes:
        taught: share of the tokens read that teach something; the ladder counts on all of them.
        stacks: stacks among which a rung's layers are shared out.
        least_heads: fewer of them cannot look left and right, or near and far, at once.
        rate: Muon's peak rate.
        embedding_rate: AdamW's beside it, for embeddings, norms and the head.
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
    """Everything a training run needs to know, fixed.

    Attributes:
        family: of the model.
        hidden_size: D.
        num_layers: L.
        num_heads: H.
        sequence_length: T.
        batch_size: rows of a micro-batch, in each process.
        train: the settings of the loop.
        seed: of the weights and the data.
        seconds_per_step: measured, after compilation.
        compile_seconds: measured.
        peak_flops: operations a second of a matrix product in this precision, measured.
        num_parameters: of the model, shared ones once.
        seconds: time the run is meant to take.
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
        """Whether blocks were compiled when the steps were timed, and so will be."""
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
        """What `to_plain` wrote."""
        return cls(**{**plain, "train": from_mapping(TrainConfig, plain["train"], "plan")})

    def save(self, folder: Path) -> None:
        """Write `plan.json`."""
        write_json(folder / PLAN_FILE, self.to_plain())

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Read `plan.json`."""
        return cls.from_plain(read_json(folder / PLAN_FILE))


def round_up(value: int, multiple: int) -> int:
    """The least multiple that is not under the value."""
    return -(-value // multiple) * multiple


def choose_rung(operations: float, text: TextSize | None = None) -> Rung:
    """The rung for a number of floating-point operations.

    Args:
        operations: that the time buys.
        text: where it would be read more than `MOST_READ` times, the rung of more parameters is taken, up to
            `MOST_PARAMETERS` for each of its tokens and no further.
    """
    place = max(place for place, rung in enumerate(LADDER) if operations >= rung.operations)
    if text is None:
        return LADDER[place]
    fits = [_parameters(rung, text.vocab_size) <= MOST_PARAMETERS * text.num_tokens for rung in LADDER]
    largest = max((place for place, fit in enumerate(fits) if fit), default=0)
    while operations > MOST_READ * _reading(LADDER[place], text) and place != largest:
        place += 1 if place < largest else -1
    return LADDER[place]


def _parameters(rung: Rung, vocab_size: int) -> int:
    """About: 12 D^2 a layer and one matrix of embeddings (Kaplan et al. 2020, table 1)."""
    return 12 * rung.num_layers * rung.hidden_size**2 + vocab_size * rung.hidden_size


def _reading(rung: Rung, text: TextSize) -> float:
    """Operations of reading a text once: 6 a parameter and token."""
    return 6.0 * _parameters(rung, text.vocab_size) * text.num_tokens
