"""Texts to be near or far as vectors: an anchor, texts near it, and texts far from it.

For contrastive losses (Henderson et al. 2017; Reimers & Gurevych 2019) a sample is anchor, positive and negatives, one
row each; the other samples of a batch serve as further negatives, so no text stands in a batch twice unless it is
allowed.  Samples with other numbers of negatives are welcome; a batch holds samples of one number.  Where the data
gives scores instead, a sample is two rows and its score, in the file's own scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lavra.base.arrays import Int64s
from lavra.base.errors import InputError
from lavra.data.labelled.samples import PairSample
from lavra.data.rows.batch import TaskBatch
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.groups import grouped_rows


@dataclass(frozen=True, kw_only=True)
class ContrastiveRows(TaskRows):
    """Anchor, positive and negatives of each sample; the labels depend on the other samples of the batch."""

    def batch(self, samples: Sequence[int] | Int64s) -> TaskBatch:
        """The samples with these numbers; their labels are their places."""
        laid = super().batch(samples)
        labels = torch.arange(len(laid.sample_ids))
        return replace(laid, labels=labels, num_targets=len(labels))


def pair_rows(samples: Sequence[PairSample], form: RowFormat, *, no_duplicates: bool = True) -> ContrastiveRows:
    """Make rows for contrastive losses.

    The labels of a batch are its samples' places, 0 to B / G - 1: the index of each anchor's positive among those of
    the batch.

    Args:
        samples: anchor, positive and negatives.
        form: the format of the rows; a sample is left out whole.
        no_duplicates: no text stands in two samples of a training batch.
    """
    groups = [[sample.anchor, sample.positive, *sample.negatives] for sample in samples]
    table = grouped_rows(groups, range(len(samples)), [sample.place for sample in samples], form)
    texts: dict[str, int] = {}
    apart = tuple(tuple(texts.setdefault(text, len(texts)) for text in groups[number]) for number in table.sources)
    return ContrastiveRows(
        encoded=table.encoded,
        form=form,
        names=table.names,
        sources=table.sources,
        groups=table.groups,
        apart=apart if no_duplicates else None,
        issues=table.issues,
    )


def scored_pair_rows(samples: Sequence[PairSample], form: RowFormat) -> TaskRows:
    """Rows for losses that take a score a pair: `targets` are (N,) float32.

    Raises:
        InputError: a sample has no score, one that is not a finite number, or negatives.
    """
    scores = [_score(sample) for sample in samples]
    groups = [[sample.anchor, sample.positive] for sample in samples]
    table = grouped_rows(groups, range(len(samples)), [sample.place for sample in samples], form)
    return replace(table, targets=np.array([scores[number] for number in table.sources], dtype=np.float32))


def _score(sample: PairSample) -> float:
    if sample.negatives:
        raise InputError(f"{sample.place}: a pair with a score has negatives too; use pair_rows, or take them out")
    if sample.score is None or not math.isfinite(sample.score):
        raise InputError(f"{sample.place}: score {sample.score} is not a finite number; give one to every pair")
    return sample.score
