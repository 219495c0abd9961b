"""A compressed model beside its original: the same text, position by position.

    KL(p || q) = sum over the vocabulary of p (log p - log q),   p the original's, q the compressed one's

It sees a change that a loss cannot: a model that errs elsewhere than before may have the same loss (Dutta et al. 2024,
"Accuracy is not all you need", arXiv:2407.09141).  Logits are compared in float32, a bounded number of rows at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.compression.samples import QualitySample, ScoredBatch
from lavra.model.build import Model
from lavra.model.token_scores import LOGITS_BYTES


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The changes that compression made on some text; `None` for a figure that the kind of model lacks.

    Attributes:
        unit: unit that bits are counted per: `byte`, `hidden token`, or nothing for a model without a head.
        num_tokens: positions compared.
        num_bytes: UTF-8 bytes of the tokens at these positions.
        source_bits: bits per unit before.
        bits: bits per unit after.
        mean_kl: nats a position.
        mean_kl_error: standard error of `mean_kl`, over positions.
        bits_increase_error: standard error of the growth of bits, as a share of them, over positions.
        p99_kl: nats, the 99th percentile.
        top1_agreement: share of positions where both models find the same token likeliest.
        mean_cosine: between the two mean hidden states of a row (models without a head).
        least_cosine: the smallest of these cosines.
        source_read_per_second: tokens the original reads in a second.
        read_per_second: tokens the compressed model reads in a second.
    """

    unit: str
    num_tokens: int
    num_bytes: int
    source_bits: float | None = None
    bits: float | None = None
    mean_kl: float | None = None
    mean_kl_error: float | None = None
    bits_increase_error: float | None = None
    p99_kl: float | None = None
    top1_agreement: float | None = None
    mean_cosine: float | None = None
    least_cosine: float | None = None
    source_read_per_second: float
    read_per_second: float

    @property
    def bits_increase(self) -> float | None:
        """Share by which bits grew; below 0 for a decrease."""
        if self.source_bits is None or self.bits is None:
            return None
        return self.bits / self.source_bits - 1.0


@torch.inference_mode()
def compare_models(
    source: Model, compressed: Model, sample: QualitySample, progress: Progress | None = None
) -> Comparison:
    """Compare two models on a sample.

    Args:
        source: the original, in floats.
        compressed: the compressed model.
        sample: held-out text, as `sample_text` made it for the original.
        progress: called with the number of finished tokens.

    Raises:
        InputError: the compressed model's numbers are not finite.
    """
    source.eval()
    compressed.eval()
    seconds = [0.0, 0.0]
    done, rows = 0, []
    for batch in sample.batches:
        hidden = []
        for place, model in enumerate((source, compressed)):
            began = time.perf_counter()
            hidden.append(batch.hidden(model))
            seconds[place] += time.perf_counter() - began
        rows.append(_compare_batch(source, compressed, batch, hidden[0], hidden[1]))
        done += len(batch.labels)
        if progress is not None:
            progress("compare on held-out text", done, sample.num_tokens)
    return _comparison(rows, seconds, sample)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The predictions of two models at the same positions.

    Attributes:
        before: (M, V) logits of the original.
        after: (M, V) logits of the compared model.
        labels: (M,) the true tokens.
        seconds: reading time of each model.
    """

    before: Tensor
    after: Tensor
    labels: Tensor
    seconds: tuple[float, float]


@torch.inference_mode()
def compare_answers(parts: Iterable[Answers], sample: QualitySample, progress: Progress | None = None) -> Comparison:
    """Compare the predictions of two models for a sample, part by part.

    Args:
        parts: predictions of both for the whole sample, in any order.
        sample: the sample.
        progress: called with the number of finished tokens.

    Raises:
        InputError: the numbers of the second model are not finite.
    """
    seconds, done, rows = [0.0, 0.0], 0, []
    for part in parts:
        rows.append(_compare_logits(part.before, part.after, part.labels))
        seconds = [total + one for total, one in zip(seconds, part.seconds, strict=True)]
        done += len(part.labels)
        if progress is not None:
            progress("compare on held-out text", done, sample.num_tokens)
    return _comparison(rows, seconds, sample)


def _comparison(rows: Sequence[dict[str, Tensor]], seconds: Sequence[float], sample: QualitySample) -> Comparison:
    num_read = sum(batch.input_ids.numel() for batch in sample.batches)
    found = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    _check_finite(found)
    headless = "cosine" in found
    figures = _cosine_figures(found) if headless else _token_figures(found, sample)
    return Comparison(
        unit="" if headless else sample.unit,
        num_tokens=sample.num_tokens,
        num_bytes=sample.num_bytes,
        source_read_per_second=num_read / seconds[0],
        read_per_second=num_read / seconds[1],
        **figures,
    )


def _compare_batch(
    source: Model, compressed: Model, batch: ScoredBatch, before: Tensor, after: Tensor
) -> dict[str, Tensor]:
    """Figures of each scored position; for a model without a head, of each row."""
    scored = batch.scored.to(before.device)
    if source.head is None:
        weight = scored[:, :, None].float()
        pooled = [(hidden.float() * weight).sum(dim=1) / weight.sum(dim=1) for hidden in (before, after)]  # (B, D)
        return {"cosine": nn.functional.cosine_similarity(pooled[0], pooled[1]).double().cpu()}
    parts = list(_compare_rows(source, compressed, before[scored], after[scored], batch.labels.to(before.device)))
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def _compare_rows(
    source: Model, compressed: Model, before: Tensor, after: Tensor, labels: Tensor
) -> Iterator[dict[str, Tensor]]:
    """Figures from (M, D) hidden states of both, some rows of logits at a time."""
    size = max(16, LOGITS_BYTES // (8 * source.config.vocab_size))
    for start in range(0, len(labels), size):
        rows = slice(start, start + size)
        yield _compare_logits(source.logits(before[rows]), compressed.logits(after[rows]), labels[rows])


def _compare_logits(before: Tensor, after: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Figures from (M, V) logits of both and the (M,) true tokens."""
    p, q = before.float().log_softmax(dim=-1), after.float().log_softmax(dim=-1)
    return {
        "kl": (p.exp() * (p - q)).sum(dim=-1).double(),
        "same": p.argmax(dim=-1) == q.argmax(dim=-1),
        "before": -p.gather(1, labels[:, None])[:, 0].double(),
        "after": -q.gather(1, labels[:, None])[:, 0].double(),
    }


def _check_finite(found: dict[str, Tensor]) -> None:
    for name, values in found.items():
        if values.dtype.is_floating_point and not bool(torch.isfinite(values).all()):
            wrong = int((~torch.isfinite(values)).sum())
            raise InputError(
                f"{wrong} of {len(values)} positions have no finite {name}: the compressed model's numbers overflow; "
                "use bf16 or int8 instead of fp16, or check the original with `lavra doctor`"
            )


def _token_figures(found: dict[str, Tensor], sample: QualitySample) -> dict[str, float]:
    return {
        "source_bits": sample.bits(float(found["before"].sum())),
        "bits": sample.bits(float(found["after"].sum())),
        "mean_kl": float(found["kl"].mean()),
        "mean_kl_error": _standard_error(found["kl"]),
        "bits_increase_error": _standard_error(found["after"] - found["before"]) / float(found["before"].mean()),
        "p99_kl": float(np.percentile(found["kl"].numpy(), 99)),
        "top1_agreement": float(found["same"].double().mean()),
    }


def _standard_error(values: Tensor) -> float:
    """Standard error of the mean of (M,) values, taken as independent."""
    return float(values.std()) / math.sqrt(len(values))


def _cosine_figures(found: dict[str, Tensor]) -> dict[str, float]:
    return {"mean_cosine": float(found["cosine"].mean()), "least_cosine": float(found["cosine"].min())}
