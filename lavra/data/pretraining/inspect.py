"""A batch laid out for reading: each token with its label, its loss weight and the document it belongs to.

Check a model's task by eye before hours are spent; `lavra inspect-batch` prints these rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import torch

from lavra.data.batch import IGNORE, Batch
from lavra.data.tokenizer import TokenNames


class Side(Enum):
    """The input of the model that a token is part of."""

    INPUT = "input"
    DECODER = "decoder"


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedToken:
    """A token of a batch with its label.

    Attributes:
        row: row of the batch.
        side: the input, or the decoder's input.
        position: position the model is given (on the decoder's side: place in the row).
        token: the token as the vocabulary spells it.
        label: the token to predict here, or "" where there is none.
        loss_weight: 1 where the label counts in the loss, 0 where it does not.
        segment: document within the row, from 1; 0 is padding.
    """

    row: int
    side: Side
    position: int
    token: str
    label: str
    loss_weight: float
    segment: int


def inspect_rows(batch: Batch, tokenizer: TokenNames) -> Iterator[InspectedToken]:
    """Every token of a batch, row by row; an encoder-decoder's inputs before its decoder's, which carry the labels."""
    for row in range(len(batch.input_ids)):
        if batch.decoder_input_ids is None or batch.decoder_segments is None:
            yield from _side(row, Side.INPUT, batch.input_ids, batch.labels, batch.positions, batch.segments, tokenizer)
            continue
        nothing = torch.full_like(batch.input_ids, IGNORE)
        yield from _side(row, Side.INPUT, batch.input_ids, nothing, batch.positions, batch.segments, tokenizer)
        places = torch.arange(batch.labels.shape[1]).expand_as(batch.labels)
        yield from _side(
            row, Side.DECODER, batch.decoder_input_ids, batch.labels, places, batch.decoder_segments, tokenizer
        )


def _side(
    row: int,
    side: Side,
    ids: torch.Tensor,
    labels: torch.Tensor,
    positions: torch.Tensor,
    segments: torch.Tensor,
    tokenizer: TokenNames,
) -> Iterator[InspectedToken]:
    columns = (tensor[row].tolist() for tensor in (ids, labels, positions, segments))
    for token, label, position, segment in zip(*columns, strict=True):
        yield InspectedToken(
            row=row,
            side=side,
            position=position,
            token=tokenizer.token(token),
            label="" if label == IGNORE else tokenizer.token(label),
            loss_weight=0.0 if label == IGNORE else 1.0,
            segment=segment,
        )
