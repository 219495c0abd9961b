"""A batch of labelled rows, padded or packed.

The training loop asks a batch for `num_targets`, `sample_ids`, `to`, and the two tensors that name it; everything
else is between the batch maker and the loss.  A task that lays its rows out as language modelling does (chat,
text-to-text) uses `lavra.data.batch.Batch` itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a word for mypy: code that reads text for a model may run without torch
    import torch


@dataclass(frozen=True, kw_only=True)
class TaskBatch:
    """Rows of one text, or pair of texts, each.

    Attributes:
        input_ids: (B, T) int64; with choices, negatives or windows B counts texts, not samples.
        attention_mask: (B, T) True on real tokens; padding is on the right.
        labels: the labels for the loss: (B,) int64 classes, (B, N) float32 of multi-label, (B,) float32 numbers,
            (B, T) int64 tags with `IGNORE`, (B, 2) int64 first and last token of an answer, (B / N,) int64 right
            choice of N; (B / G,) float32 scores of pairs, or nothing but their number for contrastive losses.
        num_targets: the divisor of the summed loss.
        sample_ids: a name for each sample, for error messages.
        token_type_ids: (B, T) int64 0 in the first text, 1 in the second, for families that have token types.
        group: texts of a sample that stand together: choices, or anchor, positive and negatives.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    num_targets: int
    sample_ids: tuple[str, ...]
    token_type_ids: torch.Tensor | None = None
    group: int = 1

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TaskBatch:
        """The same batch on another device."""
        types = self.token_type_ids
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=non_blocking),
            attention_mask=self.attention_mask.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            token_type_ids=None if types is None else types.to(device, non_blocking=non_blocking),
        )


class TaskBatchMaker(Protocol):
    """Makes the batches of a task; a pure function of (samples, settings, seed, index), as every maker is."""

    def __len__(self) -> int:
        """Micro-batches in one epoch; always at least one."""
        ...

    def batch(self, index: int) -> TaskBatch:
        """Batch number `index`, counted from 0 across epochs."""
        ...

    @property
    def dropped_per_epoch(self) -> int:
        """Samples an epoch does not show."""
        ...

    @property
    def fixed_shape(self) -> bool:
        """Whether all batches have one shape, so that compiled code serves them all."""
        ...

    @property
    def used_ids(self) -> frozenset[int] | None:
        """Every token that some batch holds, padding included; None where a maker cannot list them beforehand."""
        ...
