"""Next-token batches: every token of the text is predicted once an epoch from the tokens before it.

Documents are packed without padding (`packing.TokenStream`); attention stays inside a document through `segments`, and
positions start again at each.  The last token of a document is labelled with the next document's start token, which
is how a model learns to stop.  Where documents end in a token of their own (`</s>`), that token is the stop label
and nothing is predicted after it.

Fill-in-the-middle (Bavarian et al. 2022, "Efficient training of language models to fill in the middle") reorders
some documents before packing, half of them as PSM and half as SPM in the paper's joint form:

    PSM   start <PRE> prefix <SUF> suffix <MID> middle
    SPM   start <PRE> <SUF> suffix <MID> prefix middle

The cut points fall between tokens, not characters (the paper's §4.3 measures the cost when a user's cursor
stands inside a token).  Deliberately absent: context-level fill-in-the-middle, which needs text to be re-tokenised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lavra.base.arrays import Int64s
from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE, Batch, FixedShape, Purpose, check_shape, generator
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.packing import TokenStream, gather, stream_of_runs


@dataclass(frozen=True, kw_only=True)
class FimTokens:
    """The ids of the three fill-in-the-middle tokens.

    Attributes:
        prefix: stands before the prefix (`<PRE>`).
        suffix: stands before the suffix (`<SUF>`).
        middle: stands before the middle (`<MID>`).
    """

    prefix: int
    suffix: int
    middle: int

    def __post_init__(self) -> None:
        if len({self.prefix, self.suffix, self.middle}) < 3:
            raise ConfigError(
                f"the fill-in-the-middle tokens are {self.prefix}, {self.suffix} and {self.middle}; "
                "they must differ: train the tokenizer with three special tokens for them"
            )


@dataclass(frozen=True, kw_only=True)
class NextTokenConfig:
    """Shape and order of next-token batches.

    Attributes:
        batch_size: rows in a micro-batch (B).
        sequence_length: tokens in a row (T).
        seed: fixes the order of documents and rows in every epoch.
        fim_rate: share of documents reordered for fill-in-the-middle; other ones in every epoch.
        fim_spm_share: share of the reordered documents written suffix first.
        fim_tokens: ids of the tokens that mark the parts; needed where fim_rate is over 0.
    """

    batch_size: int
    sequence_length: int
    seed: int = 0
    fim_rate: float = 0.0
    fim_spm_share: float = 0.5
    fim_tokens: FimTokens | None = None

    def __post_init__(self) -> None:
        check_shape(self.batch_size, self.sequence_length, self.seed)
        for name, value in (("fim_rate", self.fim_rate), ("fim_spm_share", self.fim_spm_share)):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is {value}; it is a share: give a number from 0 to 1")
        if self.fim_rate > 0.0 and self.fim_tokens is None:
            raise ConfigError(f"fim_rate is {self.fim_rate} without fim_tokens; give the ids of <PRE>, <SUF> and <MID>")


class NextToken(FixedShape):
    """The batch maker of the next-token objective."""

    def __init__(self, dataset: TokenDataset, config: NextTokenConfig) -> None:
        """Raise ConfigError where the dataset is smaller than one batch."""
        self.dataset, self.config = dataset, config
        self._special = _special_tokens(dataset, config.fim_tokens)
        self._num_reordered = round(config.fim_rate * dataset.num_documents)
        added = 3 * self._num_reordered
        self.tokens_per_epoch = dataset.num_tokens + added
        per_batch = config.batch_size * config.sequence_length
        self._length = self.tokens_per_epoch // per_batch
        if self._length < 1:
            raise ConfigError(
                f"the text has {self.tokens_per_epoch} tokens and one batch takes {per_batch} "
                f"({config.batch_size} rows of {config.sequence_length}); use more text or a smaller batch_size"
            )
        self._epoch: tuple[int, TokenStream, Int64s] | None = None
        # After a closing token of its own, a document predicts nothing; nor does it where nothing marks the border.
        self._predicts_start = dataset.frame.start is not None and dataset.frame.end is None

    def __len__(self) -> int:
        """The number of micro-batches in one epoch."""
        return self._length

    @property
    def dropped_per_epoch(self) -> int:
        """Tokens that are no row's target, because they do not fill a last batch; other ones in every epoch."""
        return self.tokens_per_epoch - self._length * self.config.batch_size * self.config.sequence_length

    def batch(self, index: int) -> Batch:
        """Batch number `index`, counted from 0 across epochs; a pure function of the settings and `index`."""
        B, T = self.config.batch_size, self.config.sequence_length
        epoch, step = divmod(index, self._length)
        stream, row_order = self._plan(epoch)
        rows = row_order[step * B : (step + 1) * B]  # (B,)
        window = gather(stream, rows, T)
        tokens = self._read(window.sources)  # (B, T + 1)
        labels = tokens[:, 1:].copy()
        if not self._predicts_start:
            labels[window.begins_document[:, 1:]] = IGNORE
        return Batch(
            input_ids=torch.from_numpy(np.ascontiguousarray(tokens[:, :T])),
            labels=torch.from_numpy(labels),
            positions=torch.from_numpy(np.ascontiguousarray(window.positions[:, :T])),
            segments=torch.from_numpy(window.segments[:, :T].astype(np.int32)),
            sample_ids=tuple(
                f"epoch {epoch} row {row} (documents {first} to {last} in shuffled order)"
                for row, first, last in zip(
                    rows.tolist(), window.first_documents.tolist(), window.last_documents.tolist(), strict=True
                )
            ),
        )

    def _read(self, sources: Int64s) -> Int64s:
        if self._num_reordered == 0:
            return self.dataset.tokens[sources].astype(np.int64)
        # Places past the file's end name the special tokens.
        inside = sources < self.dataset.num_tokens
        ids = self.dataset.tokens[np.where(inside, sources, 0)].astype(np.int64)
        ids[~inside] = self._special[sources[~inside] - self.dataset.num_tokens]
        return ids

    def _plan(self, epoch: int) -> tuple[TokenStream, Int64s]:
        if self._epoch is None or self._epoch[0] != epoch:
            order = generator(self.config.seed, epoch, Purpose.DOCUMENTS).permutation(self.dataset.num_documents)
            rows = generator(self.config.seed, epoch, Purpose.ROWS).permutation(
                self.tokens_per_epoch // self.config.sequence_length
            )
            self._epoch = (epoch, self._stream(epoch, order), rows)
        return self._epoch[1], self._epoch[2]

    def _stream(self, epoch: int, order: Int64s) -> TokenStream:
        lengths = self.dataset.lengths
        if self._num_reordered == 0:
            return stream_of_runs(self.dataset.offsets[order], lengths[order], np.arange(len(order)), order)
        sources, run_lengths = _reordered_runs(
            self.dataset, self.config.fim_spm_share, self._num_reordered, self.config.seed, epoch
        )
        runs = sources.shape[1]  # runs per document, some of no length
        ranks = np.repeat(np.arange(len(order)), runs)
        return stream_of_runs(sources[order].reshape(-1), run_lengths[order].reshape(-1), ranks, order)


def _special_tokens(dataset: TokenDataset, fim: FimTokens | None) -> Int64s:
    if fim is None:
        return np.empty(0, dtype=np.int64)
    ids = (fim.prefix, fim.suffix, fim.middle)
    for value in ids:
        if not 0 <= value < dataset.vocab_size:
            raise ConfigError(f"the fill-in-the-middle token {value} is outside the vocabulary of {dataset.vocab_size}")
    return np.asarray(ids, dtype=np.int64)


def _reordered_runs(
    dataset: TokenDataset, spm_share: float, num_reordered: int, seed: int, epoch: int
) -> tuple[Int64s, Int64s]:
    """(sources, lengths), each (num_documents, 9): the runs of every document, in reading order.

    Exactly `num_reordered` documents are reordered in every epoch, so that all epochs have the same length.
    """
    draw = generator(seed, epoch, Purpose.FILL_IN_THE_MIDDLE)
    D = dataset.num_documents
    chosen: npt.NDArray[np.bool_] = np.zeros(D, dtype=np.bool_)
    chosen[draw.permutation(D)[:num_reordered]] = True
    suffix_first = draw.random(D) < spm_share
    begin, end = dataset.content_bounds
    cuts = np.sort(draw.integers(0, (end - begin + 1)[:, None], size=(D, 2)), axis=1) + begin[:, None]
    cuts = np.where(chosen[:, None], cuts, end[:, None])  # an untouched document is all prefix
    low, high = cuts[:, 0], cuts[:, 1]
    special = dataset.num_tokens + np.arange(3)  # places of <PRE>, <SUF>, <MID>

    def token(place: int, present: npt.NDArray[np.bool_] = chosen) -> tuple[Int64s, Int64s]:
        return np.full(D, place), present.astype(np.int64)

    def text(source: Int64s, stop: Int64s, present: npt.NDArray[np.bool_] | bool = True) -> tuple[Int64s, Int64s]:
        return source, np.where(present, stop - source, 0)

    runs = [
        text(dataset.offsets[:-1], begin),  # the start token
        token(special[0]),
        text(begin, low, ~(chosen & suffix_first)),  # PSM's prefix, or the whole untouched document
        token(special[1]),
        text(high, end),  # suffix
        token(special[2]),
        text(begin, high, chosen & suffix_first),  # SPM: prefix and middle stand side by side in the file
        text(low, high, ~(chosen & suffix_first)),  # PSM's middle
        text(end, dataset.offsets[1:]),  # the end token
    ]
    return np.stack([source for source, _ in runs], axis=1), np.stack([length for _, length in runs], axis=1)
