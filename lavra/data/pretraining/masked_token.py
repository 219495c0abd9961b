"""Masked-token batches: hide some tokens of a text and predict them from both sides.

Rows are pieces of documents framed as `[CLS] piece [SEP]`, packed and kept apart by `segments`.  Of each row's
maskable tokens 15 % are chosen; a chosen token is replaced by [MASK] in 80 % of cases, by a random ordinary token in
10 % and left alone in 10 %, so that the model must represent every token (Devlin et al. 2018, §3.1 and App. A.1).
Pieces are placed once; the masks are drawn anew in every epoch (Liu et al. 2019, §4.1, "dynamic masking").

With `whole_words` all tokens of a word are hidden together (the authors' later release of BERT).
Deliberately absent: next-sentence prediction, which RoBERTa showed to be of no use (Liu et al. 2019, §4.2).
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
from lavra.data.tokenizer import MaskingTokenizer, required_token

FRAME_TOKENS = 2  # [CLS] and [SEP]
MASK_SHARE = 0.15  # the paper's


@dataclass(frozen=True, kw_only=True)
class MaskedTokenConfig:
    """Shape, order and masking of masked-token batches.

    Attributes:
        batch_size: rows in a micro-batch (B).
        sequence_length: tokens in a row (T), [CLS] and [SEP] included.
        seed: fixes the placing of pieces, the order of rows and the masks.
        mask_share: share of a row's ordinary tokens to predict.
        hidden_share: share of the chosen tokens shown as [MASK].
        random_share: share of the chosen tokens shown as a random ordinary token; the rest is shown as it is.
        whole_words: choose all tokens of a word together.
    """

    batch_size: int
    sequence_length: int
    seed: int = 0
    mask_share: float = MASK_SHARE
    hidden_share: float = 0.8
    random_share: float = 0.1
    whole_words: bool = False

    def __post_init__(self) -> None:
        check_shape(self.batch_size, self.sequence_length, self.seed)
        if self.sequence_length < FRAME_TOKENS + 1:
            raise ConfigError(f"sequence_length is {self.sequence_length}; [CLS], a token and [SEP] need at least 3")
        if not 0.0 < self.mask_share < 1.0:
            raise ConfigError(f"mask_share is {self.mask_share}; it must lie between 0 and 1 (BERT: 0.15)")
        if min(self.hidden_share, self.random_share) < 0.0 or self.hidden_share + self.random_share > 1.0:
            raise ConfigError(
                f"hidden_share {self.hidden_share} and random_share {self.random_share} must be shares "
                "whose sum is at most 1 (BERT: 0.8 and 0.1)"
            )


class MaskedToken(FixedShape):
    """The batch maker of the masked-token objective."""

    def __init__(self, dataset: TokenDataset, config: MaskedTokenConfig, tokenizer: MaskingTokenizer) -> None:
        """Raise ConfigError where the tokenizer lacks a token it takes, or the text does not fill one batch."""
        self.dataset, self.config, self.tokenizer = dataset, config, tokenizer
        self._mask = required_token(tokenizer.mask_id, "mask", "[MASK]")
        self._cls = required_token(tokenizer.cls_id, "cls", "[CLS]")
        self._sep = required_token(tokenizer.sep_id, "sep", "[SEP]")
        self._pad = required_token(tokenizer.pad_id, "pad", "[PAD]")
        self._is_special = np.zeros(max(dataset.vocab_size, tokenizer.vocab_size), dtype=np.bool_)
        self._is_special[sorted(tokenizer.special_ids)] = True
        self._ordinary = np.flatnonzero(~self._is_special)  # the source of random replacements
        costs = np.arange(config.sequence_length - FRAME_TOKENS + 1, dtype=np.int64) + FRAME_TOKENS
        free_space = FreeSpace((config.sequence_length,), (costs,))
        self._rows = PlacedRows(
            place_documents(dataset, config.seed, free_space, shortest=1), config.batch_size, config.seed
        )

    def __len__(self) -> int:
        """The number of micro-batches in one epoch."""
        return self._rows.num_batches

    @property
    def dropped_per_epoch(self) -> int:
        """Tokens of the rows that do not fill a last batch; other ones in every epoch."""
        return self._rows.dropped_per_epoch

    def batch(self, index: int) -> Batch:
        """Batch number `index`, counted from 0 across epochs; a pure function of the settings and `index`."""
        epoch, rows = self._rows.rows(index)
        ids, positions, segments = self._frame(rows)  # (B, T)
        draw = generator(self.config.seed, index)
        chosen = self._choose(ids, segments, draw)
        labels = np.where(chosen, ids, IGNORE)
        return Batch(
            input_ids=torch.from_numpy(self._hide(ids, chosen, draw)),
            labels=torch.from_numpy(labels),
            positions=torch.from_numpy(positions),
            segments=torch.from_numpy(segments),
            sample_ids=tuple(self._rows.name(epoch, row) for row in rows),
        )

    def _frame(self, rows: list[int]) -> tuple[Int64s, Int64s, npt.NDArray[np.int32]]:
        """Write the pieces of each row as [CLS] piece [SEP]."""
        shape = (len(rows), self.config.sequence_length)
        ids = np.full(shape, self._pad, dtype=np.int64)
        positions = np.zeros(shape, dtype=np.int64)
        segments = np.zeros(shape, dtype=np.int32)
        pieces = self._rows.pieces
        for place, row in enumerate(rows):
            at = 0
            for segment, piece in enumerate(pieces.pieces(row), start=1):
                begin, length = pieces.begins[piece], int(pieces.lengths[piece])
                end = at + length + FRAME_TOKENS
                ids[place, at] = self._cls
                ids[place, at + 1 : end - 1] = self.dataset.tokens[begin : begin + length]
                ids[place, end - 1] = self._sep
                positions[place, at:end] = np.arange(end - at)
                segments[place, at:end] = segment
                at = end
        return ids, positions, segments

    def _choose(self, ids: Int64s, segments: npt.NDArray[np.int32], draw: np.random.Generator) -> npt.NDArray[np.bool_]:
        """(B, T) True at the tokens to predict: `mask_share` of each row's ordinary tokens, at least one."""
        ordinary = ~self._is_special[ids]
        target = np.maximum(1, np.rint(self.config.mask_share * ordinary.sum(axis=1))).astype(np.int64)  # (B,)
        if not self.config.whole_words:
            keys = np.where(ordinary, draw.random(ids.shape), np.inf)
            rank: Int64s = np.argsort(np.argsort(keys, axis=1), axis=1)
            return np.asarray((rank < target[:, None]) & ordinary)
        chosen = np.zeros(ids.shape, dtype=np.bool_)
        for place, row in enumerate(ids):
            word = self._words(row, ordinary[place], segments[place])
            chosen[place] = choose_words(word, int(target[place]), draw)
        return chosen

    def _words(self, row: Int64s, ordinary: npt.NDArray[np.bool_], segments: npt.NDArray[np.int32]) -> Int64s:
        """(T,) word number of each token from 1; 0 where the token is not maskable."""
        starts = np.asarray(self.tokenizer.word_starts(row.tolist()), dtype=np.bool_)
        border = np.diff(segments, prepend=0) != 0
        after_special = np.concatenate([[True], ~ordinary[:-1]])
        numbers = np.cumsum(starts | border | after_special)
        return np.where(ordinary, numbers, 0)

    def _hide(self, ids: Int64s, chosen: npt.NDArray[np.bool_], draw: np.random.Generator) -> Int64s:
        """Show chosen tokens as [MASK], as a random token, or as they are."""
        way = draw.random(ids.shape)
        random = self._ordinary[draw.integers(0, len(self._ordinary), size=ids.shape)]
        hidden = chosen & (way < self.config.hidden_share)
        swapped = chosen & ~hidden & (way < self.config.hidden_share + self.config.random_share)
        return np.where(hidden, self._mask, np.where(swapped, random, ids))


def choose_words(word: Int64s, target: int, draw: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(T,) True at the tokens of whole words drawn at random until `target` tokens are reached, at least one word.

    As in BERT's `create_masked_lm_predictions`, a word that would go over the target is passed over.

    Args:
        word: (T,) word number of each token, 0 where there is none.
        target: tokens wanted.
        draw: source of the words' order.
    """
    sizes = np.bincount(word)
    sizes[0] = 0
    order = draw.permutation(np.flatnonzero(sizes))
    taken: list[int] = []
    total = 0
    for number, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if total + size <= target or not taken:
            taken.append(number)
            total += size
        if total >= target:
            break
    return np.isin(word, taken)
