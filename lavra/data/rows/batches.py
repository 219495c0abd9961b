"""From a table of labelled rows to batches: the batch maker that all these tasks share, and rows for prediction.

A table lays samples side by side; the order of an epoch chooses samples; the maker puts the
two together and holds nothing else.  Tasks differ in their tables: `text_rows`, `tag_rows`, `question_rows`,
`choice_rows` and `pair_rows` make `TaskRows`; `rewrite_rows` and `chat_rows` make tables of language-model batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int64s
from lavra.base.errors import ConfigError
from lavra.base.lazy import resolve
from lavra.data.labelled.samples import DataIssue
from lavra.data.rows.batch import TaskBatch
from lavra.data.rows.encoding import EncodedRows, RowFormat
from lavra.data.rows.order import EpochOrder, OrderConfig

BatchOf = TypeVar("BatchOf")
BatchOut = TypeVar("BatchOut", covariant=True)

_BATCH: Final = "lavra.data.rows.padding:task_batch"
"""Lays rows side by side as tensors; the table itself, which is read without torch too, knows none."""


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
        """Texts of each sample, as numbers; samples that share one do not meet in a training batch; `None`: all may."""
        ...

    @property
    def used_ids(self) -> frozenset[int] | None:
        """Every token that some row holds, padding included; None for rows of a model that writes any token."""
        ...

    def batch(self, samples: Sequence[int] | Int64s) -> BatchOut:
        """The samples with these numbers as one batch, in this order."""
        ...


class RowBatches(Generic[BatchOf]):
    """The batch maker of a table: batch number i is a pure function of (table, config, i).

    Args:
        table: the samples.
        config: the order of the samples.

    Raises:
        InputError: the table is empty.
    """

    def __init__(self, table: RowTable[BatchOf], config: OrderConfig) -> None:
        self.table, self.config = table, config
        self.order = EpochOrder(table.lengths, config, kinds=table.kinds, apart=table.apart)

    def __len__(self) -> int:
        """The number of micro-batches in one epoch."""
        return self.order.num_batches

    @property
    def dropped_per_epoch(self) -> int:
        """Always 0: the batch that is not full is kept.  The table's issues list samples cut or left out."""
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
    """Framed rows of text, one or several a sample, and the targets of each sample.

    Attributes:
        encoded: the rows, those of a sample one after the other.
        form: the format of the rows.
        names: a name for each sample, for error messages.
        sources: number of each sample among those that were given.
        targets: (N, …) int64 or float32, one entry a sample; `None` where samples have no labels.
        token_targets: instead of `targets`, one label a token of each row (`IGNORE` where there is none).
        groups: texts of each sample; one each unless given.  A batch holds samples of as many texts only.
        apart: texts of each sample, as numbers; samples that share one do not meet in a training batch.
        issues: samples cut or left out, each with the reason.
    """

    encoded: EncodedRows
    form: RowFormat
    names: tuple[str, ...]
    sources: tuple[int, ...]
    targets: npt.NDArray[Any] | None = None
    token_targets: tuple[Int64s, ...] | None = None
    groups: tuple[int, ...] | None = None
    apart: tuple[tuple[int, ...], ...] | None = None
    issues: tuple[DataIssue, ...] = ()

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.names)

    @property
    def kinds(self) -> tuple[int, ...] | None:
        """Samples of unlike numbers of texts do not share a batch."""
        return self.groups

    @cached_property
    def begins(self) -> Int64s:
        """(N + 1,) first row of each sample."""
        sizes = np.ones(len(self), dtype=np.int64) if self.groups is None else np.asarray(self.groups, dtype=np.int64)
        return np.concatenate([[0], np.cumsum(sizes)])

    @cached_property
    def used_ids(self) -> frozenset[int]:
        """Every token that some row holds, and the padding token."""
        return frozenset(np.unique(np.concatenate(self.encoded.ids)).tolist()) | {self.form.pad_id}

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each sample's longest text."""
        rows = [len(row) for row in self.encoded.ids]
        begins = self.begins.tolist()
        return [max(rows[begin:end]) for begin, end in pairwise(begins)]

    def own(self, sample: int) -> range:
        """Numbers of a sample's rows."""
        return range(int(self.begins[sample]), int(self.begins[sample + 1]))

    def batch(self, samples: Sequence[int] | Int64s) -> TaskBatch:
        """The samples with these numbers, padded to the longest; labels are empty where none are known.

        Raises:
            InputError: samples of unlike numbers of texts.
        """
        laid: TaskBatch = resolve(_BATCH)(self, np.asarray(samples, dtype=np.int64))
        return laid
