"""Tuning after rounding: the quantized model learns to predict like the original.

    least KL(original || quantized) on calibration text;   w = round(q) s,   both q and s learned

Scales, norms and biases move freely (Chen et al. 2024, EfficientQAT, arXiv:2407.11062); integers move through the
straight-through estimator (Bengio et al. 2013, arXiv:1308.3432), and the teacher is the model itself (Liu et al.
2023, LLM-QAT, arXiv:2305.17888).  Its training steps take minutes for a small model and too long for a large one,
so it runs only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.base.errors import ConfigError
from lavra.base.ports import Progress
from lavra.compression.samples import ScoredBatch
from lavra.model.build import Model
from lavra.model.divergence import kl_of_logits
from lavra.quantize.modules import QuantizedEmbedding, QuantizedHead, QuantizedLinear, QuantizedMatrix
from lavra.quantize.rounding import SCALE_DTYPE


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """The settings of the tuning of a quantized model.

    Attributes:
        steps: steps of Adam, one batch of calibration text each.
        scale_rate: learning rate of scales (their logarithms), norms and biases; falls to 0 in a line.
        integer_rate: learning rate of integers, in units of one.
    """

    steps: int = 200
    scale_rate: float = 2e-3
    integer_rate: float = 0.03

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}; give 1 or more, usually 200")


class _Round(torch.autograd.Function):
    """Rounding with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class TunedMatrix(QuantizedMatrix):
    """A quantized matrix with integers and scales that are being learned."""

    def __init__(self, matrix: QuantizedMatrix) -> None:
        super().__init__(matrix.rows, matrix.columns, matrix.scheme)
        self.dtype, self.packed, self.scale = matrix.dtype, matrix.packed, matrix.scale
        self.latent = nn.Parameter(matrix.integers().float())  # (N, K)
        self.growth = nn.Parameter(torch.zeros_like(matrix.scale, dtype=torch.float32))  # (N, G) logarithms

    def linear(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(..., K) -> (..., N)."""
        return functional.linear(x, self._learned(), bias)

    def lookup(self, ids: Tensor) -> Tensor:
        """(...) row numbers -> (..., K)."""
        return self._learned()[ids]

    def settled(self) -> QuantizedMatrix:
        """The learned matrix in its stored form."""
        made = QuantizedMatrix(self.rows, self.columns, self.scheme)
        made.dtype = self.dtype
        scale = (self.scale.float() * self.growth.detach().exp()).to(SCALE_DTYPE)
        made.set(self._clipped(self.latent.detach().round()).to(torch.int8), scale)
        return made

    def _learned(self) -> Tensor:
        """The matrix (N, K) in floats, with a gradient."""
        size = self.scheme.group_size or self.columns
        steps = (self.scale.float() * self.growth.exp()).repeat_interleave(size, dim=1)[:, : self.columns]
        rounded: Tensor = _Round.apply(self.latent)  # type: ignore[no-untyped-call]
        return self._clipped(rounded) * steps

    def _clipped(self, integers: Tensor) -> Tensor:
        return integers.clamp(-self.scheme.largest - 1, self.scheme.largest)


def tune(
    model: Model,
    source: Model,
    batches: Sequence[ScoredBatch],
    config: TuneConfig | None = None,
    progress: Progress | None = None,
) -> None:
    """Tune a quantized model in place.

    Args:
        model: quantized model; its parameters that stay floats are float32.
        source: the original, in floats.
        batches: calibration text, none of it held-out.
        config: settings of the tuning.
        progress: called with the number of finished steps.

    Raises:
        ConfigError: the model has no head to learn from, or rounds its inputs.
    """
    config = config or TuneConfig()
    if source.head is None:
        raise ConfigError("a model without a head has no outputs to learn from; leave tuning out")
    matrices = _replace(model, TunedMatrix)
    if any(matrix.scheme.rounds_inputs for matrix in matrices):
        raise ConfigError("a scheme that rounds inputs cannot be tuned; use int8 or int4")
    groups = _groups(model, config)
    rates = [float(group["lr"]) for group in groups]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    for step in range(config.steps):
        loss = _divergence(model, source, batches[step % len(batches)])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1.0 - step / config.steps)
        optimizer.step()
        if progress is not None:
            progress("tune", step + 1, config.steps)
    _replace(model, TunedMatrix.settled)
    model.requires_grad_(False)


def _divergence(model: Model, source: Model, batch: ScoredBatch) -> Tensor:
    """Mean KL(source || model), in nats a scored position."""
    with torch.no_grad():
        hidden = batch.hidden(source)
        scored = batch.scored.to(hidden.device)
        teacher = source.logits(hidden[scored])  # (M, V)
    return kl_of_logits(model.logits(batch.hidden(model)[scored]), teacher) / len(teacher)


def _groups(model: Model, config: TuneConfig) -> list[dict[str, Any]]:
    model.requires_grad_(True)
    named = dict(model.named_parameters())
    integers = [parameter for name, parameter in named.items() if name.endswith(".latent")]
    others = [parameter for name, parameter in named.items() if not name.endswith(".latent")]
    return [{"params": others, "lr": config.scale_rate}, {"params": integers, "lr": config.integer_rate}]


def _replace(model: Model, make: Callable[[Any], QuantizedMatrix]) -> list[QuantizedMatrix]:
    """Replace the matrix of every module by a matrix made from it."""
    found = []
    for module in model.modules():
        if isinstance(module, QuantizedLinear | QuantizedEmbedding | QuantizedHead) and module.matrix is not None:
            module.matrix = make(module.matrix)
            found.append(module.matrix)
    return found
