"""Span corruption: cut stretches out of a text and write them back (Raffel et al. 2020, §3.1.4 and §3.3.4).

    piece     the cat sat on the mat today
    input     the <extra_id_0> on the <extra_id_1> </s>
    target    <extra_id_0> cat sat <extra_id_1> mat today </s>

15 % of the tokens are noise, in spans of 3 tokens on average, drawn as T5's `random_spans_noise_mask` draws them:
noise and text are each cut into the same number of random parts and interleaved, text first (so every piece ends in
noise, as there).  Like T5's code, and unlike the paper's Figure 2, the target ends in `</s>`, not in a last
sentinel.

Rows have fixed lengths T (input) and U (target).  Where T5 joins documents and corrupts the joined text, here each
piece of a document is an example of its own with its own sentinels and `</s>`, packed with others and kept apart by
segments: exactly as the model is used later.  The decoder's input is the target moved right by one behind
the padding token, piece by piece.  Deliberately absent: the paper's other corruption rates as presets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lavra.base.arrays import Int64s
from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE, Batch, FixedShape, check_shape, generator
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.pieces import FreeSpace, PlacedRows, place_documents
from lavra.data.tokenizer import SpanTokenizer, required_token

SHORTEST_PIECE = 2  # one token to keep and one to cut out
TARGET_MULTIPLE = 8  # matrix kernels like it


@dataclass(frozen=True, kw_only=True)
class SpanCorruptionConfig:
    """Shape, order and noise of span-corruption batches.

    Attributes:
        batch_size: rows in a micro-batch (B).
        sequence_length: tokens in an input row (T), sentinels and `</s>` included.
        seed: fixes the placing of pieces, the order of rows and the noise.
        noise_density: share of a piece's tokens cut out.
        mean_span_length: tokens in a cut-out span, on average.
        target_length: tokens in a target row (U); None takes the need of a full input row and room for the
            rounding of some more pieces.
    """

    batch_size: int
    sequence_length: int
    seed: int = 0
    noise_density: float = 0.15
    mean_span_length: float = 3.0
    target_length: int | None = None

    def __post_init__(self) -> None:
        check_shape(self.batch_size, self.sequence_length, self.seed)
        if not 0.0 < self.noise_density < 1.0:
            raise ConfigError(f"noise_density is {self.noise_density}; it must lie between 0 and 1 (T5: 0.15)")
        if self.mean_span_length < 1.0:
            raise ConfigError(f"mean_span_length is {self.mean_span_length}; a span has at least 1 token (T5: 3)")


def noise_counts(length: Int64s, density: float, mean_span_length: float) -> tuple[Int64s, Int64s]:
    """(noise tokens, noise spans) of pieces with these lengths, as T5 rounds them.

    There is at least one span of noise, and at least one token of text in front of each.
    """
    noise = np.clip(np.rint(length * density), 1, np.maximum(length - 1, 0)).astype(np.int64)
    noise = np.where(length < SHORTEST_PIECE, 0, noise)
    spans = np.maximum(np.rint(noise / mean_span_length), 1).astype(np.int64)
    return noise, np.minimum(spans, np.maximum(length - noise, 1))


def noise_mask(
    length: int, density: float, mean_span_length: float, draw: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(length,) True at the tokens to cut out (T5's `random_spans_noise_mask`, without its optional roll)."""
    noise, spans = (int(count) for count in noise_counts(np.int64(length), density, mean_span_length))  # type: ignore[arg-type]
    lengths = np.empty(2 * spans, dtype=np.int64)
    lengths[1::2] = random_parts(noise, spans, draw)
    lengths[0::2] = random_parts(length - noise, spans, draw)
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def random_parts(total: int, parts: int, draw: np.random.Generator) -> Int64s:
    """(parts,) positive lengths that sum to `total`, every way equally likely."""
    cuts = np.sort(draw.permutation(total - 1)[: parts - 1]) + 1
    return np.diff(cuts, prepend=0, append=total)


def replace_spans(tokens: Int64s, mask: npt.NDArray[np.bool_], sentinels: Int64s) -> Int64s:
    """The tokens with each stretch where `mask` is True replaced by the next sentinel."""
    first = mask & ~np.concatenate([[False], mask[:-1]])
    marked = np.where(first, sentinels[np.maximum(np.cumsum(first) - 1, 0)], tokens)
    return np.asarray(marked[first | ~mask])


class SpanCorruption(FixedShape):
    """The batch maker of the span-corruption objective."""

    def __init__(self, dataset: TokenDataset, config: SpanCorruptionConfig, tokenizer: SpanTokenizer) -> None:
        """Raise ConfigError where the tokenizer has too few sentinels, or the text does not fill one batch."""
        self.dataset, self.config = dataset, config
        self._eos = required_token(tokenizer.eos_id, "eos", "</s>")
        self._pad = required_token(tokenizer.pad_id, "pad", "<pad>")
        self._sentinels = np.asarray(tokenizer.sentinel_ids, dtype=np.int64)
        inputs, targets = _costs(config)
        self.target_length = config.target_length or _default_target_length(int(targets[-1]))
        self._check(inputs, targets)
        free_space = FreeSpace((config.sequence_length, self.target_length), (inputs, targets))
        pieces = place_documents(dataset, config.seed, free_space, SHORTEST_PIECE)
        self._rows = PlacedRows(pieces, config.batch_size, config.seed)

    def _check(self, inputs: Int64s, targets: Int64s) -> None:
        longest = len(inputs) - 1
        if longest < SHORTEST_PIECE or targets[SHORTEST_PIECE] > self.target_length:
            raise ConfigError(
                f"sequence_length {self.config.sequence_length} with target_length {self.target_length} holds no piece "
                f"of {SHORTEST_PIECE} tokens with its sentinel and end token; make the rows longer"
            )
        _, spans = noise_counts(np.int64(longest), self.config.noise_density, self.config.mean_span_length)  # type: ignore[arg-type]
        if spans > len(self._sentinels):
            raise ConfigError(
                f"a row of {self.config.sequence_length} tokens takes {spans} sentinels and the tokenizer has "
                f"{len(self._sentinels)}; shorten the rows or train the tokenizer with more <extra_id_…> tokens"
            )

    def __len__(self) -> int:
        """The number of micro-batches in one epoch."""
        return self._rows.num_batches

    @property
    def dropped_per_epoch(self) -> int:
        """Tokens of the rows that do not fill a last batch (on average), and rests too short to corrupt."""
        return self._rows.dropped_per_epoch

    def batch(self, index: int) -> Batch:
        """Batch number `index`, counted from 0 across epochs; a pure function of the settings and `index`."""
        epoch, rows = self._rows.rows(index)
        draw = generator(self.config.seed, index)
        B, T, U = len(rows), self.config.sequence_length, self.target_length
        source, target, decoder = (
            _Side(B, length, fill) for length, fill in ((T, self._pad), (U, IGNORE), (U, self._pad))
        )
        for place, row in enumerate(rows):
            for segment, piece in enumerate(self._rows.pieces.pieces(row), start=1):
                inputs, targets = self._corrupt(piece, draw)
                source.append(place, segment, inputs)
                target.append(place, segment, targets)
                decoder.append(place, segment, np.concatenate([[self._pad], targets[:-1]]))
        return Batch(
            input_ids=torch.from_numpy(source.ids),
            labels=torch.from_numpy(target.ids),
            positions=torch.from_numpy(source.positions),
            segments=torch.from_numpy(source.segments),
            sample_ids=tuple(self._rows.name(epoch, row) for row in rows),
            decoder_input_ids=torch.from_numpy(decoder.ids),
            decoder_segments=torch.from_numpy(decoder.segments),
        )

    def _corrupt(self, piece: int, draw: np.random.Generator) -> tuple[Int64s, Int64s]:
        """Input and target of one piece, `</s>` included."""
        begin, length = self._rows.pieces.begins[piece], int(self._rows.pieces.lengths[piece])
        tokens = self.dataset.tokens[begin : begin + length].astype(np.int64)
        mask = noise_mask(length, self.config.noise_density, self.config.mean_span_length, draw)
        inputs, targets = (replace_spans(tokens, where, self._sentinels) for where in (mask, ~mask))
        return np.append(inputs, self._eos), np.append(targets, self._eos)


class _Side:
    """The rows of a batch's input, target or decoder input, which are filled from the left."""

    def __init__(self, num_rows: int, length: int, fill: int) -> None:
        self.ids = np.full((num_rows, length), fill, dtype=np.int64)
        self.positions = np.zeros((num_rows, length), dtype=np.int64)
        self.segments = np.zeros((num_rows, length), dtype=np.int32)
        self._filled = [0] * num_rows

    def append(self, row: int, segment: int, ids: Int64s) -> None:
        begin = self._filled[row]
        end = begin + len(ids)
        self.ids[row, begin:end] = ids
        self.positions[row, begin:end] = np.arange(len(ids))
        self.segments[row, begin:end] = segment
        self._filled[row] = end


def _costs(config: SpanCorruptionConfig) -> tuple[Int64s, Int64s]:
    """(input tokens, target tokens) that pieces of 0, 1, … tokens take, up to the longest that fits a row."""
    length = np.arange(int(config.sequence_length / (1.0 - config.noise_density)) + 8, dtype=np.int64)
    noise, spans = noise_counts(length, config.noise_density, config.mean_span_length)
    inputs, targets = length - noise + spans + 1, noise + spans + 1  # a sentinel a span, and </s>
    inputs[0] = targets[0] = 0
    fits = inputs <= config.sequence_length
    return inputs[fits], targets[fits]


def _default_target_length(full: int) -> int:
    """A full row's target and an eighth of it more: short pieces take more target per input token."""
    return -(-(full + full // 8) // TARGET_MULTIPLE) * TARGET_MULTIPLE
