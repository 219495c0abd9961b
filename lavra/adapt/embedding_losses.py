"""The losses of sentence encoders, which pull the vectors of texts together and apart.

Each is a frozen dataclass of its settings and a pure function of (vectors, batch), summed over the batch's samples, so
that `sum / num_targets` is the mean that the papers and sentence-transformers report:

| here | sentence-transformers | source |
|---|---|---|
| `InBatchNegatives` | MultipleNegativesRankingLoss, …SymmetricRankingLoss | Henderson et al. 2017, arXiv:1705.00652 |
| `Triplets` | TripletLoss | Schroff et al. 2015, arXiv:1503.03832 |
| `ScoredCosine` | CosineSimilarityLoss | Reimers & Gurevych 2019, arXiv:1908.10084 |
| `Cosent` | CoSENTLoss | Su 2022 |
| `Matryoshka` | MatryoshkaLoss, around any of them | Kusupati et al. 2022, arXiv:2205.13147 |

`EmbeddingLoss` makes one of them the loss of a `TaskObjective`.  With `chunk_rows` it embeds a batch a few rows at a
time and computes each chunk again in the backward pass: the memory of a chunk for the negatives of a batch, and the
same gradients (GradCache, Gao et al. 2021, arXiv:2101.06983, by PyTorch's checkpointing).

Rows of a batch stand in groups of `batch.group`: anchor, positive, negatives.  With several processes each sees the
negatives of its own micro-batch, no others; nor does accumulation add any.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lavra.base.errors import ConfigError, InputError
from lavra.data.rows.batch import TaskBatch

VectorLoss = Callable[[Tensor, TaskBatch], Tensor]
"""((B, D) vectors of a batch's rows, the batch) -> loss summed over its samples."""

_MULTIPLE = 8  # widths of chunks are multiples of it, which spares a compiler odd shapes


class Distance(Enum):
    """The distance between two vectors."""

    COSINE = "cosine"  # 1 - cosine, from 0 to 2
    EUCLIDEAN = "euclidean"


@dataclass(frozen=True, kw_only=True)
class InBatchNegatives:
    """Cross-entropy of an anchor's own positive among all positives and negatives of the batch (InfoNCE).

    A candidate whose text is a known positive of the anchor, by its own pair or another pair of the batch, is no
    negative: it is left out of that anchor's candidates.

    Attributes:
        scale: cosines are multiplied by it; 1 / temperature (20 in Henderson et al. and sentence-transformers).
        symmetric: add the same loss in the other direction, a positive's anchor among all anchors, and halve the sum.
        skip_known: leave out known positives, as described above; False takes them for negatives, as
            sentence-transformers does.
    """

    scale: float = 20.0
    symmetric: bool = False
    skip_known: bool = True

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def __call__(self, vectors: Tensor, batch: TaskBatch) -> Tensor:
        """(B, D) vectors -> the loss, summed over anchors."""
        grouped = functional.normalize(_grouped(vectors, batch, least=2), dim=-1)  # (N, G, D)
        anchors, candidates = grouped[:, 0], torch.cat((grouped[:, 1], grouped[:, 2:].flatten(0, 1)))
        scores = self.scale * anchors @ candidates.T  # (N, N + N (G - 2))
        if self.skip_known:
            scores = scores.masked_fill(known_positives(batch), -math.inf)
        right = torch.arange(len(anchors), device=vectors.device)
        loss = functional.cross_entropy(scores, right, reduction="sum")
        if not self.symmetric:
            return loss
        back = functional.cross_entropy(scores[:, : len(anchors)].T, right, reduction="sum")
        return (loss + back) / 2


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), averaged over an anchor's negatives.

    Attributes:
        margin: wanted difference between the negative's distance and the positive's.
        distance: distance of two vectors; the Euclidean distance takes the vectors as the model gives them.
    """

    margin: float = 0.2
    distance: Distance = Distance.COSINE

    def __post_init__(self) -> None:
        # The largest distance of two vectors; a larger margin is never met.
        most = 2.0 if self.distance is Distance.COSINE else math.inf
        if not 0 < self.margin <= most or math.isinf(self.margin):
            bound = f"more than 0{'' if math.isinf(most) else f' and at most {most:g}'}"
            raise ConfigError(f"margin is {self.margin}; with {self.distance.value} distance give {bound}")

    def __call__(self, vectors: Tensor, batch: TaskBatch) -> Tensor:
        """(B, D) vectors -> the loss, summed over anchors."""
        grouped = _grouped(vectors, batch, least=3)  # (N, G, D)
        far = self._distances(grouped[:, :1], grouped[:, 1:])  # (N, G - 1), the positive's first
        return functional.relu(far[:, :1] - far[:, 1:] + self.margin).mean(dim=1).sum()

    def _distances(self, one: Tensor, other: Tensor) -> Tensor:
        """(N, 1, D) and (N, M, D) -> (N, M)."""
        if self.distance is Distance.COSINE:
            return 1 - functional.cosine_similarity(one, other, dim=-1)
        return functional.pairwise_distance(one, other)


@dataclass(frozen=True, kw_only=True)
class ScoredCosine:
    """Squared difference between the cosine of a pair and its score.

    Attributes:
        lowest: the data's score of an unrelated pair; becomes cosine 0.
        highest: the data's score of a pair with equal meaning; becomes cosine 1.
    """

    lowest: float = 0.0
    highest: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lowest) and math.isfinite(self.highest) and self.lowest < self.highest):
            raise ConfigError(f"scores go from {self.lowest} to {self.highest}; give two numbers, the lower one first")

    def __call__(self, vectors: Tensor, batch: TaskBatch) -> Tensor:
        """(B, D) vectors -> the loss, summed over pairs."""
        wanted = (_scores(batch) - self.lowest) / (self.highest - self.lowest)  # (N,)
        outside = (wanted < 0) | (wanted > 1)
        if bool(outside.any()):
            place = int(outside.nonzero()[0])
            raise InputError(
                f"{batch.sample_ids[place]}: score {float(batch.labels[place]):g} is outside "
                f"{self.lowest:g} to {self.highest:g}; set lowest and highest to the range of the data's scores"
            )
        return functional.mse_loss(_cosines(vectors, batch), wanted, reduction="sum")


@dataclass(frozen=True, kw_only=True)
class Cosent:
    """log(1 + Σ exp(scale (cos i - cos j))) over the pairs of pairs where i has the lower score: only order counts.

    One number a batch; times its pairs, so that the mean of a step weights batches by their size.

    Attributes:
        scale: cosines are multiplied by it.
    """

    scale: float = 20.0

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def __call__(self, vectors: Tensor, batch: TaskBatch) -> Tensor:
        """(B, D) vectors -> the loss, times the number of pairs."""
        scores, cosines = _scores(batch), self.scale * _cosines(vectors, batch)  # (N,), (N,)
        differences = (cosines[:, None] - cosines[None, :])[scores[:, None] < scores[None, :]]
        return len(scores) * torch.cat((differences.new_zeros(1), differences)).logsumexp(dim=0)


@dataclass(frozen=True, kw_only=True)
class Matryoshka:
    """A loss of several prefixes of the vectors, so that the beginning of a vector serves as a smaller vector.

    Attributes:
        loss: another loss of this module; it sees each prefix scaled to length 1.
        sizes: numbers in each prefix, the whole vector's among them.
        weights: weights of the prefixes' losses in the sum; 1 each by default.
    """

    loss: VectorLoss
    sizes: tuple[int, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or len(set(self.sizes)) < len(self.sizes):
            raise ConfigError(f"sizes are {self.sizes}; give at least one, each once and at least 1")
        if self.weights and len(self.weights) != len(self.sizes):
            raise ConfigError(f"{len(self.weights)} weights are given for {len(self.sizes)} sizes; give one for each")
        if not all(0 < one < math.inf for one in self.weights):
            raise ConfigError(f"weights are {self.weights}; give positive numbers")

    def __call__(self, vectors: Tensor, batch: TaskBatch) -> Tensor:
        """(B, D) vectors -> the weighted sum over prefixes."""
        width = vectors.shape[1]
        if max(self.sizes) != width:
            raise InputError(
                f"sizes are {self.sizes} and vectors have {width} numbers; add {width} to "
                "them: numbers behind the largest prefix would not be trained"
            )
        weights = self.weights or (1.0,) * len(self.sizes)
        parts = [functional.normalize(vectors[:, :size], dim=-1) for size in self.sizes]
        return torch.stack([weight * self.loss(part, batch) for weight, part in zip(weights, parts, strict=True)]).sum()


@dataclass(frozen=True, kw_only=True)
class EmbeddingLoss:
    """The loss of a `TaskObjective`: (model, batch) -> summed loss.

    Attributes:
        loss: loss of the vectors.
        chunk_rows: rows embedded at a time, like lengths together; their activations are computed again in the
            backward pass, which costs a third more time. None embeds the batch at once and keeps them.
    """

    loss: VectorLoss
    chunk_rows: int | None = None

    def __post_init__(self) -> None:
        if self.chunk_rows is not None and self.chunk_rows < 1:
            raise ConfigError(f"chunk_rows is {self.chunk_rows}; give 1 or more, or None to embed a batch at once")

    def __call__(self, model: Any, batch: TaskBatch) -> Tensor:
        """Summed loss of a batch, float32 scalar; `model` is an `EmbeddingModel`."""
        vectors = self._vectors(model, batch)
        with torch.autocast(vectors.device.type, enabled=False):  # cosines times 20 need more digits than bfloat16 has
            return self.loss(vectors.float(), batch)

    def _vectors(self, model: Any, batch: TaskBatch) -> Tensor:
        if self.chunk_rows is None:
            return _embed(model, batch, None, batch.input_ids.shape[1])
        lengths = batch.attention_mask.sum(dim=1)
        order = lengths.argsort(descending=True, stable=True)
        vectors = []
        for rows in torch.split(order, self.chunk_rows):
            longest = int(lengths[rows[0]])
            width = min(-(-longest // _MULTIPLE) * _MULTIPLE, batch.input_ids.shape[1])
            vectors.append(checkpoint(_embed, model, batch, rows, width, use_reentrant=False))
        return torch.cat(vectors)[order.argsort()]


def known_positives(batch: TaskBatch) -> Tensor:
    """(N, N + N (G - 2)) True where a candidate of an anchor is a known positive of it; its own pair's is False.

    Candidates are the positives, then the negatives.  Texts are the same where their tokens are, so this sees pairs
    that share an anchor, equal positives of different anchors, and a negative that is a positive elsewhere.
    """
    rows = batch.input_ids.masked_fill(~batch.attention_mask, -1)
    names = torch.unique(rows, dim=0, return_inverse=True)[1].view(-1, batch.group)  # (N, G)
    anchors, positives = names[:, 0], names[:, 1]
    candidates = torch.cat((positives, names[:, 2:].flatten()))
    same_anchor = anchors[:, None] == anchors[None, :]  # (N, N)
    same_text = positives[:, None] == candidates[None, :]  # (N, N + …)
    known: Tensor = (same_anchor.float() @ same_text.float()) > 0
    known[:, : len(anchors)].fill_diagonal_(False)
    return known


def _embed(model: Any, batch: TaskBatch, rows: Tensor | None, width: int) -> Tensor:
    """(B, D) vectors of some rows, or all of them, cut to `width` tokens, beyond which there is padding only."""
    at = slice(None) if rows is None else rows
    mask, types = batch.attention_mask[at, :width], batch.token_type_ids
    out: Tensor = model(
        batch.input_ids[at, :width],
        attention_mask=None if bool(mask.all()) else mask,
        token_type_ids=None if types is None else types[at, :width],
    )
    return out


def _grouped(vectors: Tensor, batch: TaskBatch, *, least: int) -> Tensor:
    """(B, D) -> (N, G, D): anchor, positive, negatives of each sample."""
    if batch.group < least:
        wanted = "an anchor and a positive" if least == 2 else "an anchor, a positive and a negative"
        raise InputError(f"samples have {batch.group} texts each and this loss takes {wanted}; choose another loss")
    return vectors.view(-1, batch.group, vectors.shape[1])


def _scores(batch: TaskBatch) -> Tensor:
    """(N,) float32 scores of the pairs."""
    if not batch.labels.is_floating_point() or batch.labels.shape != (len(batch.input_ids) // batch.group,):
        raise InputError("these pairs have no scores and this loss learns scores; choose InBatchNegatives or Triplets")
    return batch.labels.float()


def _cosines(vectors: Tensor, batch: TaskBatch) -> Tensor:
    """(N,) cosine of each pair."""
    if batch.group != 2:
        raise InputError(f"samples have {batch.group} texts each and scores are for pairs of two; leave negatives out")
    one, other = _grouped(vectors, batch, least=2).unbind(dim=1)
    return functional.cosine_similarity(one, other, dim=-1)


def _check_scale(scale: float) -> None:
    if not 0 < scale < math.inf:
        raise ConfigError(f"scale is {scale}; give a positive number, such as 20")
