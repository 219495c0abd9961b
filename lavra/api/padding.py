"""Rows of different lengths computed together: similar lengths side by side, shorter rows padded and masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def batches_by_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices of rows, at most `batch_size` at a time, shortest first: rows of one batch need little padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]


def batches_of_tokens(rows: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """Indices of rows, shortest first, at most `most` tokens at a time, padding included; always at least one row."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(rows[index]) > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(B,T) ids padded on the right with 0, and (B,T) True on real tokens.

    Args:
        rows: B rows, none empty; T is the longest row's length.
        device: device of the tensors.
    """
    ids = nn.utils.rnn.pad_sequence([torch.tensor(list(row), dtype=torch.int64) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    mask = torch.arange(ids.shape[1], device=device)[None, :] < lengths[:, None]
    return ids.to(device), mask
