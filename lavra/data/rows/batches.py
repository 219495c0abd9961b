"""From a table of labelled rows to batches: the one batch maker all these tasks share, and rows for prediction.

A table knows its samples and how some of them look side by side; the order of an epoch knows which; the maker puts the
two together and holds nothing else.  Tasks differ in their tables: `text_rows`, `tag_rows`, `question_rows`,
`choice_rows` and `pair_rows` make `TaskRows`; `rewrite_rows` and `chat_rows` make tables of language-model batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from lavra.base.arrays import Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import Trouble
from lavra.data.rows.batch import TaskBatch
from lavra.data.rows.encoding import EncodedRows, RowFormat, mask_rows, pad_rows
from lavra.data.rows.order import EpochOrder, OrderConfig

BatchOf = TypeVar("BatchOf")
BatchOut = TypeVar("BatchOut", covariant=True)


class RowTable(Protocol[BatchOut]):
    """Samples ready to be laid side by side."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each sample, of its longest text."""
        ...

    @property
    def kinds(self) -> Sequence[int] | None:
        """Samples of unlike kinds do not share a batch; `None` where all are alike."""
        ...

    @property
    def apart(self) -> Sequence[Sequence[int]] | None:
        """What each sample holds that no other one of a training batch may; `None` where all may meet."""
        ...

    @property
    def used_ids(self) -> frozenset[int] | None:
        """Every token that some row holds, padding included; None where rows share tokens with what is written."""
        ...

    def batch(self, samples: Sequence[int] | Int64s) -> BatchOut:
        """The samples with these numbers as one batch, in this order."""
        ...


class RowBatches(Generic[BatchOf]):
    """The batch maker of a table: batch number i is a pure function of (table, config, i).

    Args:
        table: the samples.
        config: their order.

    Raises:
        InputError: the table is empty.
    """

    def __init__(self, table: RowTable[BatchOf], config: OrderConfig) -> None:
        self.table, self.config = table, config
        self.order = EpochOrder(table.lengths, config, kinds=table.kinds, apart=table.apart)

    def __len__(self) -> int:
        """Micro-batches in one epoch."""
        return self.order.num_batches

    @property
    def dropped_per_epoch(self) -> int:
        """Always 0: the batch that is not full is kept.  What rows lost is in the table's troubles."""
        return 0

    @property
    def fixed_shape(self) -> bool:
        """Always False: a batch is as wide as its longest row."""
        return False

    @property
    def used_ids(self) -> frozenset[int] | None:
        """Every token that some row of the table holds, where that is known."""
        return self.table.used_ids

    def batch(self, index: int) -> BatchOf:
        """Batch number `index`, counted from 0 across epochs."""
        return self.table.batch(self.order.samples(index))


def inference_batches(table: RowTable[BatchOf], batch_size: int) -> Iterator[tuple[list[int], BatchOf]]:
    """Every sample of a table once, like lengths together, longest first.

    Args:
        table: the samples.
        batch_size: samples a batch.

    Yields:
        (numbers of the samples in the table, their batch); the numbers bring results back to the table's order.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
    lengths = np.asarray(table.lengths, dtype=np.int64)
    kinds = np.zeros(len(lengths), dtype=np.int64) if table.kinds is None else np.asarray(table.kinds, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    for kind in np.unique(kinds):
        alike = order[kinds[order] == kind].tolist()
        for start in range(0, len(alike), batch_size):
            samples = alike[start : start + batch_size]
            yield samples, table.batch(samples)


@dataclass(frozen=True, kw_only=True)
class TaskRows:
    """Framed rows of text, one or several a sample, and what is to be learnt of each sample.

    Attributes:
        encoded: the rows, those of a sample one after the other.
        form: how they were made.
        names: one a sample, for error messages.
        sources: number of each sample among those that were given.
        targets: (N, …) int64 or float32, one entry a sample; `None` where labels are not known.
        token_targets: instead of `targets`, one label a token of each row (`IGNORE` where there is none).
        groups: texts of each sample; one each unless given.  A batch holds samples of as many texts only.
        apart: what each sample holds that no other one of a training batch may.
        troubles: what was cut or left out, and why.
    """

    encoded: EncodedRows
    form: RowFormat
    names: tuple[str, ...]
    sources: tuple[int, ...]
    targets: npt.NDArray[Any] | None = None
    token_targets: tuple[Int64s, ...] | None = None
    groups: tuple[int, ...] | None = None
    apart: tuple[tuple[int, ...], ...] | None = None
    troubles: tuple[Trouble, ...] = ()

    def __len__(self) -> int:
        """Samples."""
        return len(self.names)

    @property
    def kinds(self) -> tuple[int, ...] | None:
        """Samples of unlike numbers of texts do not share a batch."""
        return self.groups

    @cached_property
    def _begins(self) -> Int64s:
        """(N + 1,) first row of each sample."""
        sizes = np.ones(len(self), dtype=np.int64) if self.groups is None else np.asarray(self.groups, dtype=np.int64)
        return np.concatenate([[0], np.cumsum(sizes)])

    @cached_property
    def used_ids(self) -> frozenset[int]:
        """Every token that some row holds, and the one that fills rows."""
        return frozenset(np.unique(np.concatenate(self.encoded.ids)).tolist()) | {self.form.pad_id}

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each sample's longest text."""
        rows = [len(row) for row in self.encoded.ids]
        begins = self._begins.tolist()
        return [max(rows[begin:end]) for begin, end in pairwise(begins)]

    def own(self, sample: int) -> range:
        """Numbers of a sample's rows."""
        return range(int(self._begins[sample]), int(self._begins[sample + 1]))

    def batch(self, samples: Sequence[int] | Int64s) -> TaskBatch:
        """The samples with these numbers, padded to the longest; labels are empty where none are known.

        Raises:
            InputError: samples of unlike numbers of texts.
        """
        numbers = np.asarray(samples, dtype=np.int64)
        begins, ends = self._begins[numbers], self._begins[numbers + 1]
        if len(set((ends - begins).tolist())) != 1:
            raise InputError(
                "a batch holds at least one sample, and samples of as many texts only; part them by `kinds`"
            )
        rows = [row for begin, end in zip(begins, ends, strict=True) for row in range(begin, end)]
        ids = [self.encoded.ids[row] for row in rows]
        width = self.form.width(max(len(row) for row in ids))
        types = self.encoded.types
        labels = self._labels(numbers, width)
        return TaskBatch(
            input_ids=pad_rows(ids, self.form.pad_id, width),
            attention_mask=mask_rows(ids, width),
            labels=labels,
            num_targets=labels.numel() if labels.is_floating_point() else int((labels != IGNORE).sum()),
            sample_ids=tuple(self.names[number] for number in numbers),
            token_type_ids=None if types is None else pad_rows([types[row] for row in rows], 0, width),
            group=int(ends[0] - begins[0]),
        )

    def _labels(self, numbers: Int64s, width: int) -> torch.Tensor:
        if self.token_targets is not None:
            return pad_rows([self.token_targets[number] for number in numbers], IGNORE, width)
        if self.targets is None:
            return torch.empty(0, dtype=torch.int64)
        return torch.from_numpy(self.targets[numbers])
