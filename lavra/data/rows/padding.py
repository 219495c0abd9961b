"""Rows of unlike length side by side as tensors of torch: filled up on the right, and masked there.

Tables of rows (`lavra.data.rows.batches`) come here by reference, so that code that reads rows singly needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from lavra.base.arrays import Int64s
from lavra.base.errors import InputError
from lavra.data.batch import IGNORE
from lavra.data.rows.batch import TaskBatch

if TYPE_CHECKING:  # a table names this module, too
    from lavra.data.rows.batches import TaskRows


def task_batch(table: TaskRows, numbers: Int64s) -> TaskBatch:
    """Samples of a table, padded to the longest; labels are empty where none are known.

    Args:
        table: a table of labelled rows.
        numbers: (N,) of the samples.

    Raises:
        InputError: samples of unlike numbers of texts.
    """
    begins, ends = table.begins[numbers], table.begins[numbers + 1]
    if len(set((ends - begins).tolist())) != 1:
        raise InputError("a batch holds at least one sample, and samples of as many texts only; part them by `kinds`")
    rows = [row for begin, end in zip(begins, ends, strict=True) for row in range(begin, end)]
    ids = [table.encoded.ids[row] for row in rows]
    width = table.form.width(max(len(row) for row in ids))
    types = table.encoded.types
    labels = _labels(table, numbers, width)
    return TaskBatch(
        input_ids=pad_rows(ids, table.form.pad_id, width),
        attention_mask=mask_rows(ids, width),
        labels=labels,
        num_targets=labels.numel() if labels.is_floating_point() else int((labels != IGNORE).sum()),
        sample_ids=tuple(table.names[number] for number in numbers),
        token_type_ids=None if types is None else pad_rows([types[row] for row in rows], 0, width),
        group=int(ends[0] - begins[0]),
    )


def _labels(table: TaskRows, numbers: Int64s, width: int) -> torch.Tensor:
    if table.token_targets is not None:
        return pad_rows([table.token_targets[number] for number in numbers], IGNORE, width)
    if table.targets is None:
        return torch.empty(0, dtype=torch.int64)
    return torch.from_numpy(table.targets[numbers])


def pad_rows(rows: Sequence[npt.NDArray[np.integer]], fill: int, width: int) -> torch.Tensor:
    """(B, width) int64, each row filled up on the right."""
    padded = np.full((len(rows), width), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def mask_rows(rows: Sequence[npt.NDArray[np.integer]], width: int) -> torch.Tensor:
    """(B, width) True on the tokens of each row, False on padding."""
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(width)[None, :] < lengths[:, None]
