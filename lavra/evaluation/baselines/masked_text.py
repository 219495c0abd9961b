"""Text with hidden tokens, as a masked or span model was asked to fill it in; the 5-gram baseline gets the same text.

A batch is undone into its pieces of documents, so that model and baseline are scored on the same tokens at the same
places.  The baseline may look at the tokens that the model saw and no others: nothing outside the piece, no hidden
token.  For span corruption everything to the left is known, because the decoder has already written it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int64s
from lavra.base.errors import InputError
from lavra.data.batch import IGNORE, Batch
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.span_corruption import SHORTEST_PIECE, noise_mask

Flags = npt.NDArray[np.bool_]

UNKNOWN = -1  # a neighbour that the model could not see (`KneserNey` ends a context there)


class Hiding(Enum):
    """The tokens that are known around a hidden token."""

    TOKENS = "tokens"  # masked tokens: other hidden tokens are unknown on both sides
    SPANS = "spans"  # span corruption: everything to the left is known, hidden or not


@dataclass(frozen=True, kw_only=True)
class MaskedText:
    """Pieces of text end to end, some of their tokens hidden.

    Attributes:
        tokens: (N,) the original tokens.
        hidden: (N,) True at the tokens to predict.
        piece: (N,) number of the piece each token belongs to, not decreasing.
        hiding: the tokens that are known around a hidden token.
    """

    tokens: Int64s
    hidden: Flags
    piece: Int64s
    hiding: Hiding

    @property
    def places(self) -> Int64s:
        """(M,) places of the hidden tokens."""
        return np.flatnonzero(self.hidden)

    def neighbour(self, places: Int64s, offset: int) -> Int64s:
        """(M,) the token at distance `offset` from each place, or `UNKNOWN` where the model could not see it."""
        there = places + offset
        clipped = np.clip(there, 0, len(self.tokens) - 1)
        known = (there == clipped) & (self.piece[clipped] == self.piece[places])
        if not (self.hiding is Hiding.SPANS and offset < 0):
            known &= ~self.hidden[clipped]
        return np.where(known, self.tokens[clipped], UNKNOWN)


def masked_text(batches: Iterable[Batch]) -> MaskedText:
    """Undo masked-token batches.  A chosen token that was shown (kept, or swapped) also counts as hidden."""
    tokens, hidden, piece = [], [], []
    count = 0
    for batch in batches:
        ids, labels = batch.input_ids.numpy(), batch.labels.numpy()
        segments = batch.segments.numpy().astype(np.int64)
        # A piece's first and last token are [CLS] and [SEP]: they are not text.
        first = np.diff(segments, axis=1, prepend=0) != 0
        last = np.diff(segments, axis=1, append=0) != 0
        text = (segments > 0) & ~first & ~last
        number = np.cumsum(first).reshape(segments.shape) + count
        tokens.append(np.where(labels != IGNORE, labels, ids)[text])
        hidden.append((labels != IGNORE)[text])
        piece.append(number[text])
        count = int(number.max(initial=count))
    return _joined(tokens, hidden, piece, Hiding.TOKENS)


def span_text(batches: Iterable[Batch], sentinel_ids: Sequence[int]) -> MaskedText:
    """Undo span-corruption batches: put each cut-out span back in the place of its sentinel."""
    sentinels = np.asarray(sentinel_ids, dtype=np.int64)
    tokens: list[Int64s] = []
    hidden: list[Flags] = []
    piece: list[Int64s] = []
    for batch in batches:
        if batch.decoder_segments is None:
            raise InputError("this batch has no decoder side; undo masked-token batches with masked_text")
        segments, decoder_segments = batch.segments.numpy(), batch.decoder_segments.numpy()
        for row in range(len(segments)):
            for segment in range(1, int(segments[row].max()) + 1):
                source = batch.input_ids[row].numpy()[segments[row] == segment][:-1]  # without its end token
                target = batch.labels[row].numpy()[decoder_segments[row] == segment][:-1]
                ids, cut = _restored(source, target, sentinels)
                tokens.append(ids)
                hidden.append(cut)
                piece.append(np.full(len(ids), len(piece)))
    return _joined(tokens, hidden, piece, Hiding.SPANS)


def _restored(source: Int64s, target: Int64s, sentinels: Int64s) -> tuple[Int64s, Flags]:
    marks = [np.flatnonzero(np.isin(side, sentinels)) for side in (source, target)]
    used = sentinels[: len(marks[0])]
    if not all(np.array_equal(side[mark], used) for side, mark in zip((source, target), marks, strict=True)):
        raise InputError(
            f"the sentinels of a piece are {source[marks[0]].tolist()} in its input and {target[marks[1]].tolist()} "
            "in its target: the text itself spells sentinel tokens out; clean the corpus of them"
        )
    parts = np.split(source, marks[0])  # all parts but the first begin with a sentinel
    spans = np.split(target, marks[1])[1:]  # each span begins with its sentinel
    ids, cut = [parts[0]], [np.zeros(len(parts[0]), dtype=np.bool_)]
    for span, part in zip(spans, parts[1:], strict=True):
        ids += [span[1:], part[1:]]
        cut += [np.ones(len(span) - 1, dtype=np.bool_), np.zeros(len(part) - 1, dtype=np.bool_)]
    return np.concatenate(ids), np.concatenate(cut)


def hide_tokens(
    dataset: TokenDataset, documents: Int64s, hiding: Hiding, share: float, span_length: float, seed: int
) -> MaskedText:
    """Hide a share of some documents' tokens: independently, or in spans as T5 draws them."""
    draw = np.random.default_rng(seed)
    tokens, hidden, piece = [], [], []
    for number, document in enumerate(documents.tolist()):
        ids = dataset.content(document).astype(np.int64)
        if len(ids) < SHORTEST_PIECE:
            continue
        spans = hiding is Hiding.SPANS
        tokens.append(ids)
        hidden.append(noise_mask(len(ids), share, span_length, draw) if spans else draw.random(len(ids)) < share)
        piece.append(np.full(len(ids), number))
    return _joined(tokens, hidden, piece, hiding)


def _joined(
    tokens: list[Int64s],
    hidden: list[Flags],
    piece: list[Int64s],
    hiding: Hiding,
) -> MaskedText:
    if not tokens:
        raise InputError("there are 0 pieces of text to fill in; give at least one batch or document")
    return MaskedText(
        tokens=np.concatenate(tokens), hidden=np.concatenate(hidden), piece=np.concatenate(piece), hiding=hiding
    )
