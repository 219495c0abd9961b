"""The main table: bits per byte of held-out text, of the model and of every baseline on the same bytes.

Inputs are numbers only (summed nats, bytes), so that a model, a remote server and a compressor are measured alike;
outputs are numbers only.  A ratio below 1 means that the model needs fewer bits; the table also says when a baseline
wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lavra.base.errors import InputError
from lavra.data.pretraining.dataset import TokenDataset
from lavra.evaluation.baselines.compressors import DEFAULT_PRIMING_BYTES, compress_held_out
from lavra.evaluation.baselines.ngram import NgramConfig, NgramModel
from lavra.metrics.bits import bits_per_byte


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The result of one baseline on the held-out text.

    Attributes:
        name: name that the table shows.
        bits_per_byte: bits per byte of the held-out text.
        seconds: time that it took, training or priming included.
        note: a remark that a reader needs to judge the result ("" if there is none).
    """

    name: str
    bits_per_byte: float
    seconds: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class HeldoutRow:
    """A baseline and its ratio to the model.

    Attributes:
        baseline: the baseline that the model is compared with.
        ratio: the model's bits per byte divided by the baseline's; below 1 the model wins.
    """

    baseline: Baseline
    ratio: float

    @property
    def model_wins(self) -> bool:
        """Whether the model needs fewer bits."""
        return self.ratio < 1.0


@dataclass(frozen=True, kw_only=True)
class HeldoutResult:
    """The model and its baselines on one split.

    Attributes:
        model_bits_per_byte: the model's bits per byte of the held-out text.
        num_bytes: bytes of held-out text.
        rows: the baselines, in the order given.
        warnings: reasons why the comparison is not quite fair, one sentence each.
    """

    model_bits_per_byte: float
    num_bytes: int
    rows: tuple[HeldoutRow, ...]
    warnings: tuple[str, ...] = ()

    @property
    def lost_to(self) -> tuple[str, ...]:
        """Names of the baselines that win or draw."""
        return tuple(row.baseline.name for row in self.rows if not row.model_wins)


def compare(nll: float, num_bytes: int, baselines: Iterable[Baseline], *, num_unknown: int = 0) -> HeldoutResult:
    """Compare a model with its baselines.

    Args:
        nll: the model's negative log-likelihood of the held-out text in nats.
        num_bytes: bytes of held-out text.
        baselines: results of the baselines on the same text.
        num_unknown: unknown tokens in the tokenised text; each makes the model's figure too good.

    Raises:
        InputError: as in `bits_per_byte`.
    """
    ours = bits_per_byte(nll, num_bytes)
    warnings: tuple[str, ...] = ()
    if num_unknown:
        warnings = (
            f"{num_unknown} tokens are unknown to the tokenizer and were not spelled out: the model's bits are too few",
        )
    rows = tuple(HeldoutRow(baseline=baseline, ratio=ours / baseline.bits_per_byte) for baseline in baselines)
    return HeldoutResult(model_bits_per_byte=ours, num_bytes=num_bytes, rows=rows, warnings=warnings)


def measure_baselines(
    train: TokenDataset,
    held: TokenDataset,
    train_texts: Iterable[str],
    held_texts: Iterable[str],
    *,
    ngram: NgramConfig | None = None,
    max_priming_bytes: int = DEFAULT_PRIMING_BYTES,
) -> list[Baseline]:
    """Measure gzip, bz2, xz, primed xz and the n-gram model on one split.

    Args:
        train: tokens of the training side.
        held: tokens of the held-out side.
        train_texts: texts of the training side.
        held_texts: texts of the held-out side.
        ngram: size of the n-gram model.
        max_priming_bytes: most training bytes that prime xz.

    Raises:
        InputError: the held-out texts are not the texts that were tokenised.
    """
    compressed = compress_held_out(held_texts, train_texts, max_priming_bytes=max_priming_bytes)
    if compressed[0].num_bytes != held.num_bytes:
        raise InputError(
            f"the held-out texts have {compressed[0].num_bytes} bytes and {held.folder} was made of {held.num_bytes}; "
            "give the texts that were tokenised"
        )
    baselines = [
        Baseline(
            name=one.name,
            bits_per_byte=one.bits_per_byte,
            seconds=one.seconds,
            note=f"the first {one.priming_bytes_unused} training bytes were left out"
            if one.priming_bytes_unused
            else "",
        )
        for one in compressed
    ]
    return [*baselines, _ngram_baseline(train, held, ngram or NgramConfig())]


def _ngram_baseline(train: TokenDataset, held: TokenDataset, config: NgramConfig) -> Baseline:
    model = NgramModel.train(train, config)
    score = model.score(held)
    return Baseline(
        name=f"{config.order}-gram (Kneser-Ney)",
        bits_per_byte=bits_per_byte(score.total_nll, held.num_bytes),
        seconds=model.seconds + score.seconds,
        note=f"{model.num_tokens_unused} training tokens were left out" if model.num_tokens_unused else "",
    )
