"""The order of labelled rows in an epoch, and the micro-batches they are dealt out in.

A pure function of (seed, epoch): nothing to save, nothing to restore.  With `group_by_length` the shuffled rows are
sorted by length within stretches of 50 batches and the batches shuffled again, so that rows of a batch need little
padding and epochs still differ (the idea of transformers' `LengthGroupedSampler`); the first epoch begins with the
longest row, so that a batch too big for the machine shows at once.

Every row is in exactly one batch of an epoch; a batch that is not full is kept, for the loss is divided by the
targets there are.  Samples of unlike kinds (two choices, four choices) do not share a batch, so each kind may have one
that is not full.  Deliberately absent: batches of a number of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import Purpose, check_shape, generator
from lavra.data.rows.distinct import distinct_batches

STRETCH = 50  # batches sorted by length together, as in transformers


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """The order of rows.

    Attributes:
        batch_size: samples in a micro-batch; a sample of several texts counts once.
        seed: fixes the order of every epoch.
        shuffle: another order in each epoch; otherwise the order of the file, in every epoch.
        group_by_length: rows of like length in a batch; only with `shuffle`.
    """

    batch_size: int
    seed: int = 0
    shuffle: bool = True
    group_by_length: bool = False

    def __post_init__(self) -> None:
        check_shape(self.batch_size, 1, self.seed)
        if self.group_by_length and not self.shuffle:
            raise ConfigError("group_by_length orders rows anew and shuffle=False keeps the file's order; drop one")


class EpochOrder:
    """The samples of batch number i.

    Args:
        lengths: tokens of each sample; only their order matters.
        config: the order and size of batches.
        kinds: samples of unlike kinds do not share a batch.
        apart: texts of each sample, as numbers; samples that share one do not share a batch (`distinct`).

    Raises:
        InputError: there are no samples.
        ConfigError: `group_by_length` of samples to be kept apart.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        config: OrderConfig,
        *,
        kinds: Sequence[int] | None = None,
        apart: Sequence[Sequence[int]] | None = None,
    ) -> None:
        if not len(lengths):
            raise InputError("there are no samples to make batches of; the data's issues name the reasons")
        if apart is not None and config.group_by_length:
            raise ConfigError(
                "group_by_length puts equal lengths together, and this loss keeps samples apart; drop one"
            )
        self.config = config
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._kinds = np.zeros(len(lengths), dtype=np.int64) if kinds is None else np.asarray(kinds, dtype=np.int64)
        self._apart = apart
        self._first: dict[int, list[Int64s]] = {}
        self._epoch = (0, self._batches(0))
        self.num_batches = len(self._epoch[1])

    def samples(self, index: int) -> Int64s:
        """(≤ batch_size,) numbers of the samples of batch `index`, counted from 0 across epochs."""
        epoch, step = divmod(index, self.num_batches)
        held = self._epoch  # read once: another thread may be at another epoch
        if held[0] != epoch:
            held = self._epoch = (epoch, self._batches(epoch))
        return held[1][step]

    def _batches(self, epoch: int) -> list[Int64s]:
        draw = generator(self.config.seed, epoch, Purpose.ROWS)
        total = len(self._lengths)
        order = draw.permutation(total) if self.config.shuffle else np.arange(total)
        kinds = np.unique(self._kinds).tolist()
        batches = [batch for kind in kinds for batch in self._deal(kind, order[self._kinds[order] == kind])]
        if not self.config.shuffle or not (self.config.group_by_length or self._apart is not None or len(kinds) > 1):
            return batches
        batches = [batches[place] for place in draw.permutation(len(batches))]
        if self.config.group_by_length and epoch == 0:
            longest = max(range(len(batches)), key=lambda place: int(self._lengths[batches[place]].max()))
            batches[0], batches[longest] = batches[longest], batches[0]
        return batches

    def _deal(self, kind: int, order: Int64s) -> list[Int64s]:
        size = self.config.batch_size
        if self._apart is not None:
            return self._deal_apart(kind, order.tolist(), self._apart)
        if not self.config.group_by_length:
            return _cut(order, size)
        stretches = _cut(order, size * STRETCH)
        ordered = [stretch[np.argsort(-self._lengths[stretch], kind="stable")] for stretch in stretches]
        return _cut(np.concatenate(ordered), size)

    def _deal_apart(self, kind: int, order: list[int], apart: Sequence[Sequence[int]]) -> list[Int64s]:
        """Deal as many batches in every epoch; where an unlucky order needs more, show the first epoch's again."""
        size = self.config.batch_size
        if kind not in self._first:  # the first epoch, made before any other
            self._first[kind] = distinct_batches(order, apart, size) or []
        first = self._first[kind]
        return distinct_batches(order, apart, size, len(first)) or first


def _cut(order: Int64s, size: int) -> list[Int64s]:
    return [order[start : start + size] for start in range(0, len(order), size)]
