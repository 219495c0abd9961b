"""Batches of fixed shape for the training loop, and the protocol of their makers.

A maker is a pure function from an index to a batch: it holds no position and no generator, so resuming needs only
the number of the next batch and two processes agree without talking.  Randomness comes from Philox, a counter-based
generator (Salmon et al. 2011): any index's stream is reached at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lavra.base.errors import ConfigError

if TYPE_CHECKING:  # a word for mypy: code that reads text for a model may run without torch
    import torch

IGNORE = -100
"""Label of a position that carries no loss (the default `ignore_index` of PyTorch's cross-entropy)."""

PADDING_SEGMENT = 0
"""Segment of padding; documents of a row are numbered from 1."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of packed documents.

    Attributes:
        input_ids: (B, T) int64.
        labels: (B, T) int64, or (B, U) for an encoder-decoder; `IGNORE` at places without a target.
        positions: (B, T) int64, counted from 0 again at each document.
        segments: (B, T) int32, document number within the row from 1; 0 is padding.
        sample_ids: a name for each row, for error messages.
        decoder_input_ids: (B, U) int64 for an encoder-decoder.
        decoder_segments: (B, U) int32, the segment of the input each target belongs to.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    sample_ids: tuple[str, ...]
    decoder_input_ids: torch.Tensor | None = None
    decoder_segments: torch.Tensor | None = None

    @property
    def num_targets(self) -> int:
        """The number of positions that carry loss."""
        return int((self.labels != IGNORE).sum())

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking), self.sample_ids)

    def rows(self, start: int, stop: int) -> Batch:
        """The batch of the rows `start` to `stop`."""
        return self._each(lambda tensor: tensor[start:stop], self.sample_ids[start:stop])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor], sample_ids: tuple[str, ...]) -> Batch:
        return Batch(
            input_ids=change(self.input_ids),
            labels=change(self.labels),
            positions=change(self.positions),
            segments=change(self.segments),
            sample_ids=sample_ids,
            decoder_input_ids=None if self.decoder_input_ids is None else change(self.decoder_input_ids),
            decoder_segments=None if self.decoder_segments is None else change(self.decoder_segments),
        )


class BatchMaker(Protocol):
    """Makes the batches of an objective; a pure function of (dataset, config, seed, index)."""

    def __len__(self) -> int:
        """Micro-batches in one epoch; always at least one."""
        ...

    def batch(self, index: int) -> Batch:
        """Batch number `index`, counted from 0 across epochs."""
        ...

    @property
    def dropped_per_epoch(self) -> int:
        """Tokens an epoch does not show because they do not fill a last batch."""
        ...

    @property
    def fixed_shape(self) -> bool:
        """Whether all batches have one shape, so that compiled code serves them all."""
        ...

    @property
    def used_ids(self) -> frozenset[int] | None:
        """Every token that some batch holds, padding included; None where a maker cannot list them beforehand."""
        ...


class FixedShape:
    """A maker whose batches have one shape, and whose text is not searched for its tokens beforehand."""

    @property
    def fixed_shape(self) -> bool:
        """True: all batches have one shape."""
        return True

    @property
    def used_ids(self) -> frozenset[int] | None:
        """None: the tokens are not listed beforehand."""
        return None


class Purpose(Enum):
    """The purposes of random numbers; each purpose has a stream of its own."""

    BATCH = 0  # masks and noise of one batch
    DOCUMENTS = 1  # order of documents in an epoch
    ROWS = 2  # order of rows in an epoch
    FILL_IN_THE_MIDDLE = 3


def generator(seed: int, index: int, purpose: Purpose = Purpose.BATCH) -> np.random.Generator:
    """The random stream of (seed, index): the index of a batch, or of an epoch for the other purposes."""
    # The counter's highest word separates the purposes: no stream is long enough to reach the next.
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, purpose.value]))


def check_shape(batch_size: int, sequence_length: int, seed: int) -> None:
    """Raise ConfigError unless the shape is positive and the seed a valid one."""
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("sequence_length", sequence_length, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}")
